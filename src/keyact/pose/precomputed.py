"""Key points that another program found: a box gets the cached pose of the person in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.formats.cache import CachedPhoto, KeypointCache, open_cache
from keyact.pose.nms import MergedPoses
from keyact.pose.score import pose_score

MIN_IOU = 0.5
"""Overlap under which a box is not the cached person's: its joints are all missing."""

_AS_NEAR = 1e-6
"""Difference of overlaps that is none."""


class GivenPeople(NamedTuple):
    """People who come with scores and tracks, best score first.

    keypoints : (M, K, 3) float32.
    kept : (M,) indices of their boxes in the input.
    scores : (M,) float64 of the poses.
    track_ids : M numbers, or None for people without one.
    """

    keypoints: NDArray[np.float32]
    kept: NDArray[np.intp]
    scores: NDArray[np.float64]
    track_ids: list[int | None]


class Precomputed:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    cache : of ``keyact import``; its layout is this backend's.
    """

    name = "precomputed"
    ignores = ("threads", "flip_test")
    """Options of `keyact.pose.load` that change nothing here."""

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
        return _poses(*self._match(image, boxes))

    def people(
        self, image: NDArray[np.uint8], boxes: ArrayLike, box_scores: ArrayLike
    ) -> GivenPeople:
        """The people of these boxes as the other program found them, each once.

        It has merged what it wanted to merge: only somebody found by two boxes of a detector is
        given for the surer one alone. A box without a cached person is a person all the same.

        Parameters
        ----------
        box_scores : (N,) of the detector.

        Raises
        ------
        InputError : the photo is not in the cache.
        """
        photo, persons = self._match(image, boxes)
        poses = _poses(photo, persons)
        scores = pose_score(poses, box_scores).astype(np.float64)
        found = persons >= 0
        scores[found] = photo.pose_scores[persons[found]]
        order = np.lexsort((-np.asarray(box_scores, np.float64), -scores))
        first: dict[int, int] = {}  # person -> row
        for row in order.tolist():
            first.setdefault(int(persons[row]), row)
        kept = np.array(
            [row for row in order if persons[row] < 0 or first[int(persons[row])] == row], np.intp
        )
        tracks = [photo.track_ids[person] if person >= 0 else None for person in persons[kept]]
        return GivenPeople(poses[kept], kept, scores[kept], tracks)

    def suppress(
        self, keypoints: ArrayLike, box_scores: ArrayLike, boxes: ArrayLike
    ) -> MergedPoses:
        """What `people` leaves, as far as key points and boxes tell it, for who has no more.

        A pose that another box has already is of the person found by both; two people of equal
        key points in the very same box stay two. See `keyact.pose.nms.pose_nms`.
        """
        poses = np.asarray(keypoints, np.float32)
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        order = np.argsort(-pose_score(poses, box_scores), kind="stable")
        owners: dict[bytes, bytes] = {}  # pose -> box
        kept = [
            i
            for i in order.tolist()
            if not poses[i].any()  # a box without a cached person is a person all the same
            or owners.setdefault(poses[i].tobytes(), corners[i].tobytes()) == corners[i].tobytes()
        ]
        return MergedPoses(poses[kept], np.array(kept, np.intp))

    def _match(
        self, image: NDArray[np.uint8], boxes: ArrayLike
    ) -> tuple[CachedPhoto, NDArray[np.intp]]:
        """The photo, and of each box (N,) the number of the person in it, or -1."""
        asked = np.asarray(boxes, np.float64).reshape(-1, 4)
        photo = self._cache(image)
        persons = np.full(len(asked), -1, np.intp)
        if len(asked) and len(photo.boxes):
            height, width = image.shape[:2]
            iou = _iou(asked.clip(0, (width, height, width, height)), photo.boxes)
            times: dict[bytes, int] = {}  # a box was asked for
            for row, (box, overlaps) in enumerate(zip(asked, iou, strict=True)):
                if overlaps.max() >= MIN_IOU:
                    alike = np.flatnonzero(overlaps >= overlaps.max() - _AS_NEAR)
                    number = times[box.tobytes()] = times.get(box.tobytes(), -1) + 1
                    persons[row] = alike[min(number, len(alike) - 1)]
        return photo, persons


def _poses(photo: CachedPhoto, persons: NDArray[np.intp]) -> NDArray[np.float32]:
    """(N, K, 3) key points of people by number, zeros for -1."""
    poses = np.zeros((len(persons), *photo.keypoints.shape[1:]), np.float32)
    poses[persons >= 0] = photo.keypoints[persons[persons >= 0]]
    return poses


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
