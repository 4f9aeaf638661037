"""Find the people of photos, once: boxes and key points from the cache, or from the networks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyact import detect, pose, weights
from keyact.data.features import BATCH, FeatureCache
from keyact.data.progress import Progress, track
from keyact.data.store import Arrays, content_hash
from keyact.errors import InputError, told_of
from keyact.layouts import convert
from keyact.media.image import DEFAULT_LIMITS, load_image
from keyact.pose.nms import nms_for

JOINTS = 17
MAX_PEOPLE = 50
"""People per photo, best boxes first, as in `keyact.Recognizer`."""

_VERSION = 1  # of what lies between the networks: raise it when the same files give other people


@dataclass(frozen=True, eq=False)
class People:
    """The people of one photo, best pose first; N may be 0.

    Attributes
    ----------
    boxes : (N, 4) float32 xyxy in photo pixels.
    scores : (N,) float32 of the boxes, 0 to 1.
    keypoints : (N, 17, 3) float32: x, y in photo pixels and score, in the layout coco17.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)


def find_people(
    paths: Sequence[str | Path],
    *,
    detector: str | Path = "persondet-m",
    pose: str | Path = "fastpose-m",
    flip_test: bool = False,
    cache: str | Path | Literal[False] | None = None,
    threads: int | None = None,
    jobs: int | None = None,
    on_error: Literal["yield", "raise"] = "yield",
    progress: bool | Progress = False,
    batch: int = BATCH,
) -> Iterator[tuple[Path, People | InputError]]:
    """The people of each photo, in order.

    What was found is kept by the photo's content and the hashes of the networks, whatever
    the file is called, and every model that is trained shares it. A killed run goes on where it
    was, at most one batch before its end.

    Parameters
    ----------
    paths : photos.
    detector, pose : as `keyact.detect.load` and `keyact.pose.load` take them, so
        ``"precomputed:CACHE.jsonl"`` too.
    flip_test : average with the mirrored photo.
    cache : folder; None takes `keyact.data.store.cache_dir`, False keeps nothing.
    threads : CPU threads within a network, per photo; 1 when several photos run at once.
    jobs : photos at once, in threads of this process; one per core when not given.
    on_error : what a photo that cannot be read does: its error stands in the place of its
        people, or is raised.
    progress : True shows a bar with the time left on stderr, if that is a terminal; a function
        is told how many are done, of how many.
    batch : photos between two writes of the cache.

    Yields
    ------
    the path as given, and its people.

    Raises
    ------
    UnknownNameError, WeightsError : on the first photo that is not in the cache.
    InputError : with ``on_error="raise"``.
    """
    files = [Path(path) for path in paths]
    jobs = jobs or os.cpu_count() or 1
    finder = _Finder(str(detector), str(pose), flip_test, threads or (1 if jobs > 1 else None))
    features = FeatureCache("people", finder.settings, cache=cache, batch=batch)
    with ThreadPoolExecutor(jobs, "keyact-people") as pool:

        def compute(chosen: Sequence[int]) -> list[Arrays | InputError]:
            finder.load()
            return list(pool.map(finder, [files[i] for i in chosen]))

        results = features.map(_keys(files, pool, batch), compute)
        for path, found in track(
            zip(files, results, strict=True), len(files), "finding people", progress
        ):
            if not isinstance(found, InputError):
                yield path, People(found["boxes"], found["scores"], found["keypoints"])
            elif on_error == "raise":
                raise found
            else:
                yield path, found


def model_identity(kind: Literal["detector", "pose"], name: str) -> dict[str, str]:
    """Name of a detector or pose backend, and the hash of the file behind it if there is one.

    Raises
    ------
    UnknownNameError, WeightsError : no such network.
    """
    backends = detect.BACKENDS if kind == "detector" else pose.BACKENDS
    short, _, source = name.partition(":")
    if short not in backends:
        entry = weights.resolve(kind, name, also=backends)
        return {"name": entry.name, "sha256": entry.digest()}
    if not source:
        return {"name": short}
    return {"name": short, "blake2b": file_hash(Path(source))}


class _Finder:
    """Detector and pose backend, loaded on first use, and all that their answer depends on."""

    def __init__(self, detector: str, estimator: str, flip: bool, threads: int | None) -> None:
        self.settings = {
            "version": _VERSION,
            "detector": model_identity("detector", detector),
            "pose": model_identity("pose", estimator),
            "flip_test": flip,
            "max_people": MAX_PEOPLE,
        }
        self._chosen = (detector, estimator, flip, threads)
        self._stages: tuple[detect.Detector, pose.PoseEstimator] | None = None

    def load(self) -> None:
        if self._stages is None:
            detector, estimator, flip, threads = self._chosen
            self._stages = (
                detect.load(detector, threads),
                pose.load(estimator, threads, flip_test=flip),
            )

    def __call__(self, path: Path) -> Arrays | InputError:
        assert self._stages is not None
        find, place = self._stages
        try:
            image = load_image(path)
            boxes, scores = find(image)
        except InputError as error:  # a cache of key points is given pixels and knows no path
            return InputError(told_of(str(path), error))
        boxes, scores = boxes[:MAX_PEOPLE], scores[:MAX_PEOPLE]
        keypoints, kept = nms_for(place)(place(image, boxes), scores, boxes)
        body = convert(keypoints, place.layout, "coco17")
        return {
            "boxes": np.asarray(boxes[kept], np.float32).reshape(-1, 4),
            "scores": np.asarray(scores[kept], np.float32),
            "keypoints": np.asarray(body, np.float32).reshape(-1, JOINTS, 3),
        }


def photo_key(path: Path) -> str | InputError:
    """`content_hash` of a photo's file, or why it cannot be read."""
    try:
        if not path.is_file():
            load_image(path)  # says why
        with path.open("rb") as file:
            data = file.read(DEFAULT_LIMITS.max_bytes + 1)
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"{path}: cannot be read: {error.strerror or error}")
    return content_hash(data)


def _keys(
    files: Sequence[Path], pool: ThreadPoolExecutor, batch: int
) -> Iterator[str | InputError]:
    """Hashes of files, a batch at a time: all at once would delay the first photo."""
    for start in range(0, len(files), batch):
        yield from pool.map(photo_key, files[start : start + batch])


def file_hash(path: Path) -> str:
    """Hash of a file of any size, of its content alone.

    Raises
    ------
    InputError : it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.blake2b(digest_size=16)
            while chunk := file.read(2**20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()
