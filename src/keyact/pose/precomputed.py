"""Key points that another program found: a box gets the cached pose of the person in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.formats.cache import KeypointCache, open_cache

MIN_IOU = 0.5
"""Overlap under which a box is not the cached person's: its joints are all missing."""


class Precomputed:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    cache : of ``keyact import``; its layout is this backend's.
    """

    name = "precomputed"

    def __init__(self, cache: KeypointCache) -> None:
        self._cache = cache

    @property
    def layout(self) -> str:
        """Skeleton of the cached people."""
        return self._cache.layout

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        """Cached key points of the best overlap, `MIN_IOU` at least, or zeros.

        Raises
        ------
        InputError : the photo is not in the cache.
        """
        asked = np.asarray(boxes, np.float64).reshape(-1, 4)
        photo = self._cache(image)
        found = np.zeros((len(asked), *photo.keypoints.shape[1:]), np.float32)
        if len(asked) and len(photo.boxes):
            height, width = image.shape[:2]
            iou = _iou(asked.clip(0, (width, height, width, height)), photo.boxes)
            best = iou.argmax(1)
            sure = iou[np.arange(len(asked)), best] >= MIN_IOU
            found[sure] = photo.keypoints[best[sure]]
        return found


def _iou(a: NDArray[np.float64], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4)."""
    single = b.astype(np.float64)
    start = np.maximum(a[:, None, :2], single[None, :, :2])
    end = np.minimum(a[:, None, 2:], single[None, :, 2:])
    common = (end - start).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (a, single)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common), np.float64)


def load(
    source: str | None,
    *,
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> Precomputed:
    """The backend of a cache; there is no network that the other options could change.

    Raises
    ------
    InputError : no file, or not a key point cache.
    """
    return Precomputed(open_cache(source))
