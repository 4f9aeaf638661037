"""Look at every photo of a data set once: size, damage, blankness, perceptual hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import Kind, extra
from keyact.errors import InputError

BLANK = 2.0
"""Standard deviation of the grey values under which there is nothing on a photo."""
NEAR_PHASH = 8
NEAR_DHASH = 20
"""Of 64 bits each, how many may differ between near-duplicates.

On the 6,654 web photos of sports18 phash alone up to 8 finds 5 pairs, of which one is a gymnast
and a table tennis bat; that pair differs in 28 bits of dhash and the other four in 19 at most. Up
to 12 most pairs are of different photos.
"""
MAX_COMPARED = 100_000
"""Photos whose hashes are compared: the time grows with their square."""

_BLOCK = 1000


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of one photo, or of a clip's first frame.

    Attributes
    ----------
    error : why it cannot be read; then there is nothing else.
    width, height : in pixels, upright.
    blank : it is of one colour.
    hashes : (2, 64) bool phash and dhash, or None where they were not asked for.
    """

    path: Path
    error: str | None = None
    width: int = 0
    height: int = 0
    blank: bool = False
    hashes: NDArray[np.bool_] | None = None


Keep = Callable[[Path, NDArray[np.uint8]], None]
"""Is given photos, BGR, as they are read, in threads."""


def look(
    paths: Sequence[Path], kind: Kind, *, hashes: bool, jobs: int, keep: Keep | None = None
) -> Iterator[Look]:
    """Look at each photo, in order. Of a clip the first frame is decoded."""
    if hashes:
        extra("imagehash")  # its absence is told before the first photo
    with ThreadPoolExecutor(jobs, "keyact-look") as pool:
        for start in range(0, len(paths), _BLOCK):
            chosen = paths[start : start + _BLOCK]
            yield from pool.map(lambda path: _look(path, kind, hashes, keep), chosen)


def read_picture(path: Path, kind: Kind) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR: a photo, or a clip's first frame.

    Raises
    ------
    InputError : it cannot be read.
    """
    from keyact.media import iter_frames, load_image

    if kind == "photos":
        return load_image(path)
    for _, _, frame in iter_frames(path, max_frames=1):
        return frame
    raise InputError(f"{path}: the video has no frames")


def near_duplicates(looks: Sequence[Look]) -> list[tuple[int, int, int]]:
    """Pairs of photos that look alike: both indices and the bits of phash that differ.

    Blank photos are like each other and are left out. At most `MAX_COMPARED` are compared.
    """
    use = [i for i, seen in enumerate(looks) if seen.hashes is not None and not seen.blank]
    use = use[:MAX_COMPARED]
    if len(use) < 2:
        return []
    stacked = np.stack([seen.hashes for i in use if (seen := looks[i]).hashes is not None])
    signs = stacked.astype(np.float32) * 2 - 1
    phash, dhash = signs[:, 0], signs[:, 1]
    pairs = []
    for start in range(0, len(use), _BLOCK):
        apart = (64 - phash[start : start + _BLOCK] @ phash.T) / 2
        rows, columns = np.nonzero(apart <= NEAR_PHASH)
        for row, j in zip(rows.tolist(), columns.tolist(), strict=True):
            i = start + row
            if i < j and (64 - dhash[i] @ dhash[j]) / 2 <= NEAR_DHASH:
                pairs.append((use[i], use[j], int(apart[row, j])))
    return pairs


def _look(path: Path, kind: Kind, hashes: bool, keep: Keep | None) -> Look:
    try:
        image = read_picture(path, kind)
    except InputError as error:
        return Look(path, str(error))
    if keep is not None:
        keep(path, image)
    height, width = image.shape[:2]
    found = _hashes(image) if hashes else None
    return Look(path, None, width, height, float(image.std(axis=(0, 1)).max()) < BLANK, found)


def _hashes(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    import cv2
    from PIL import Image

    imagehash = extra("imagehash")
    # The hashes work on 32 x 32 grey pixels; averaging first is faster and changes few bits.
    height, width = image.shape[:2]
    scale = 256 / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    return np.stack([imagehash.phash(picture).hash.ravel(), imagehash.dhash(picture).hash.ravel()])
