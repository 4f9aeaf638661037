"""Key points that another program found: a box gets the cached pose of the person in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.formats.cache import KeypointCache, open_cache
from keyact.pose.nms import MergedPoses
from keyact.pose.score import pose_score

MIN_IOU = 0.5
"""Overlap under which a box is not the cached person's: its joints are all missing."""

_AS_NEAR = 1e-6
"""Difference of overlaps that is none."""


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

        Of people in the same box, the first asked for gets the first, and so on.

        Raises
        ------
        InputError : the photo is not in the cache.
        """
        return self.tracked(image, boxes)[0]

    def tracked(
        self, image: NDArray[np.uint8], boxes: ArrayLike
    ) -> tuple[NDArray[np.float32], list[int | None]]:
        """The key points of a call, and of each box the track that the file names.

        Raises
        ------
        InputError : the photo is not in the cache.
        """
        asked = np.asarray(boxes, np.float64).reshape(-1, 4)
        photo = self._cache(image)
        found = np.zeros((len(asked), *photo.keypoints.shape[1:]), np.float32)
        tracks: list[int | None] = [None] * len(asked)
        if len(asked) and len(photo.boxes):
            height, width = image.shape[:2]
            iou = _iou(asked.clip(0, (width, height, width, height)), photo.boxes)
            times: dict[bytes, int] = {}  # a box was asked for
            for row, (box, overlaps) in enumerate(zip(asked, iou, strict=True)):
                if overlaps.max() >= MIN_IOU:
                    alike = np.flatnonzero(overlaps >= overlaps.max() - _AS_NEAR)
                    number = times[box.tobytes()] = times.get(box.tobytes(), -1) + 1
                    person = alike[min(number, len(alike) - 1)]
                    found[row] = photo.keypoints[person]
                    tracks[row] = photo.track_ids[person]
        return found, tracks

    def suppress(
        self, keypoints: ArrayLike, box_scores: ArrayLike, boxes: ArrayLike
    ) -> MergedPoses:
        """All poses, as they are: the other program has merged what it wanted to merge.

        Only the very same person, found by two boxes of a detector, is left out. See
        `keyact.pose.nms.pose_nms`.
        """
        poses = np.asarray(keypoints, np.float32)
        order = np.argsort(-pose_score(poses, box_scores), kind="stable")
        seen: set[bytes] = set()
        kept = []
        for i in order.tolist():
            pose = poses[i].tobytes()
            if pose not in seen:
                kept.append(i)
            if poses[i].any():  # a box without a cached person is a person all the same
                seen.add(pose)
        return MergedPoses(poses[kept], np.array(kept, np.intp))


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
