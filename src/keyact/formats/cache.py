"""Key point caches: people of photos, found again by the photo's pixels.

A cache is JSON Lines of `keyact.results.FrameResult`, a line per photo, so everything that reads
keyact's results reads it: training, evaluation, ``FrameResult.from_json``. A network's backend is
given pixels and no file name, so each line also carries a hash of the decoded photo. It stands in
``model``, as ``imported:FORMAT:HASH``: there is no action model whose name would stand there, and
a side file could be lost or belong to another cache, while a header or a field of its own would
make the lines something else than results.

The hash is of the pixels as `keyact.media.load_image` gives them. Lossless copies and other
names of a photo keep it; a resized or newly compressed photo is another photo. JPEG decoders may
differ in a pixel's last bit, so make the cache with the Pillow that is used with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.layouts import get_layout
from keyact.results import MAX_JSON_BYTES, FrameResult

MAX_PHOTOS = 20_000_000

_MODEL = re.compile(r"imported:([a-z-]+):([0-9a-f]{32})")


def pixel_hash(image: NDArray[np.uint8]) -> str:
    """32 hexadecimal digits of an image's shape and pixels (BLAKE2b, 128 bits).

    Parameters
    ----------
    image : (h, w, 3) uint8 BGR, upright, as `keyact.media.load_image` gives it.
    """
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def model_name(format_name: str, pixels: str) -> str:
    """What stands in ``model`` of a cached photo; ``pixels`` is its `pixel_hash`."""
    return f"imported:{format_name}:{pixels}"


@dataclass(frozen=True, eq=False)
class CachedPhoto:
    """People of one photo as arrays, best box first; of exact copies one.

    Attributes
    ----------
    boxes : (N, 4) float32 xyxy, cut to the photo, at least a pixel wide and high.
    scores : (N,) float32 of the boxes.
    pose_scores : (N,) float64 of the whole poses, as the other program gave them.
    keypoints : (N, K, 3) float32.
    track_ids : N numbers of the other program, or None for people without one.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    pose_scores: NDArray[np.float64]
    keypoints: NDArray[np.float32]
    track_ids: tuple[int | None, ...]


class KeypointCache:
    """Looks a photo's people up by its pixels. Only hashes and places in the file are held.

    Parameters
    ----------
    path : file that ``keyact import`` wrote.

    Attributes
    ----------
    path : of the file.
    layout : skeleton of all people in it.

    Raises
    ------
    InputError : not such a file, people of different layouts, or no people at all.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._places: dict[bytes, tuple[int, int]] = {}
        layouts: set[str] = set()
        try:
            with self.path.open("rb") as file:
                start = 0
                while line := file.readline(MAX_JSON_BYTES + 1):
                    if line.strip():
                        self._add(line, start, layouts)
                    start += len(line)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; keyact import makes it") from None
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InputError(f"{path}: cannot be read: {reason}") from None
        if len(layouts) != 1:
            found = f"people of different layouts ({', '.join(sorted(layouts))})"
            raise InputError(
                f"{path}: has {found if layouts else 'no people'} in it; a cache has people of "
                "one layout: import with another FILE or --layout"
            )
        (self.layout,) = layouts
        get_layout(self.layout)

    def __len__(self) -> int:
        return len(self._places)

    def __call__(self, image: NDArray[np.uint8]) -> CachedPhoto:
        """People of a photo.

        Parameters
        ----------
        image : (h, w, 3) uint8 BGR, the whole upright photo.

        Raises
        ------
        InputError : the photo is not in the cache.
        """
        place = self._places.get(bytes.fromhex(pixel_hash(image)))
        height, width = image.shape[:2]
        if place is None:
            raise InputError(
                f"{self.path}: has no photo of these {width} x {height} pixels; add it with: "
                f"keyact import FORMAT FILE --images DIR --out {self.path} "
                "(--add-empty for photos without people)"
            )
        try:
            with self.path.open("rb") as file:
                file.seek(place[0])
                result = FrameResult.from_json(file.read(place[1]))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        people = sorted(dict.fromkeys(result.people), key=lambda person: -person.box_score)
        joints = len(get_layout(self.layout))
        if any(len(person.keypoints) != joints for person in people):
            raise InputError(f"{self.path}: has changed since it was opened")
        boxes = np.array([person.box for person in people], np.float64).reshape(-1, 4)
        start = boxes[:, :2].clip(0, (max(width - 1, 0), max(height - 1, 0)))
        end = np.maximum(boxes[:, 2:].clip(0, (width, height)), start + 1)
        return CachedPhoto(
            np.concatenate([start, end], 1).astype(np.float32),
            np.array([person.box_score for person in people], np.float32),
            np.array([person.score for person in people], np.float64),
            np.array([person.keypoints for person in people], np.float32).reshape(-1, joints, 3),
            tuple(person.track_id for person in people),
        )

    def _add(self, line: bytes, start: int, layouts: set[str]) -> None:
        where = f"{self.path}: byte {start}"
        if len(line) > MAX_JSON_BYTES or len(self._places) >= MAX_PHOTOS:
            raise InputError(f"{where}: a longer line, or more photos, than a cache may have")
        try:
            fields: Any = json.loads(line)
            found = _MODEL.fullmatch(fields["model"])
            names = {person["layout"] for person in fields["people"]}
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InputError(f"{where}: not a line of keyact's results") from None
        if found is None:
            raise InputError(
                f"{where}: has no pixel hash, so it is no key point cache; make one with: "
                "keyact import FORMAT FILE --images DIR --out CACHE"
            )
        if not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: not a line of keyact's results")
        layouts |= names
        # The same pixels under two names are one photo; its first line counts.
        self._places.setdefault(bytes.fromhex(found[2]), (start, len(line)))


_opened: dict[tuple[str, int, int], KeypointCache] = {}


def open_cache(source: str | None) -> KeypointCache:
    """A cache by its path, read once for detector and pose backend.

    Raises
    ------
    InputError : no path, or not a cache.
    """
    if source is None:
        raise InputError(
            "precomputed needs a key point cache: type precomputed:CACHE.jsonl; "
            "keyact import makes it"
        )
    try:
        status = os.stat(source)
        key = (os.path.abspath(source), status.st_mtime_ns, status.st_size)
    except (OSError, ValueError):
        return KeypointCache(source)  # says why
    if key not in _opened:
        cache = KeypointCache(source)
        _opened.clear()
        _opened[key] = cache
    return _opened[key]
