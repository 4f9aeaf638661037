"""From results of single frames to results that know who is who."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyact.layouts import convert
from keyact.results import FrameResult
from keyact.sequences.smooth import OneEuro
from keyact.track.base import Tracker

SEEN = 0.2
"""Joint score: below it a joint is a guess, which would drag the filter along."""


class Follower:
    """Numbers the people of each frame and steadies their key points.

    One object per video. Its memory is that of the people seen in the last seconds.

    Parameters
    ----------
    tracker : fresh, for this video.
    smooth : pass each person's key points through a One-Euro filter (Casiez et al., CHI 2012),
        whose speeds are measured in body sizes, so that it works alike near and far.
    fps : frames per second, for frames without a time.
    """

    def __init__(self, tracker: Tracker, smooth: bool = True, fps: float = 25.0) -> None:
        self._tracker = tracker
        self._smooth = smooth
        self._fps = fps
        self._filters: dict[int, tuple[OneEuro, float]] = {}
        self._frames = 0
        self._size: NDArray[np.float64] | None = None

    def __call__(self, result: FrameResult) -> FrameResult:
        """The result with ``track_id`` and steady key points, people in the same order."""
        seconds = self.seconds(result)
        self._frames += 1
        boxes = np.array([person.box for person in result.people], np.float32).reshape(-1, 4)
        scale = self._scale(result)
        poses = [convert(person.keypoints, person.layout, "coco17") for person in result.people]
        numbers = self._tracker(
            boxes * np.tile(scale, 2),
            [person.box_score for person in result.people],
            np.reshape(poses, (-1, 17, 3)) * np.append(scale, 1),
        )
        people = []
        for person, number in zip(result.people, numbers.tolist(), strict=True):
            if number < 0:
                people.append(person.model_copy(update={"track_id": None}))
                continue
            changes: dict[str, object] = {"track_id": number}
            if self._smooth:
                points = person.keypoints * np.append(scale, 1).astype(np.float32)
                steady = self._steady(number, points, seconds)
                changes["keypoints"] = steady / np.append(scale, 1).astype(np.float32)
            # Validated anew, so that pixels are rounded as everywhere.
            people.append(type(person).model_validate(dict(person) | changes))
        late = [n for n, (_, last) in self._filters.items()
                if seconds - last > self._tracker.lost_seconds + 1]  # fmt: skip
        for number in late:
            del self._filters[number]
        return result.model_copy(update={"people": tuple(people)})

    def seconds(self, result: FrameResult) -> float:
        """The time of the next frame: its own, or by counting."""
        return self._frames / self._fps if result.timestamp is None else result.timestamp

    def _scale(self, result: FrameResult) -> NDArray[np.float64]:
        """(x, y) factors to the size of the first frame: a camera may change its own on the way."""
        size = np.array([result.width, result.height], np.float64)
        if self._size is None:
            self._size = size
        return np.asarray(self._size / size, np.float64)

    def _steady(
        self, number: int, keypoints: NDArray[np.float32], seconds: float
    ) -> NDArray[np.float32]:
        smooth, last = self._filters.get(number, (OneEuro(), seconds))
        self._filters[number] = (smooth, seconds)
        seen = keypoints[:, 2] >= SEEN
        if not seen.any():
            return keypoints
        size = float(keypoints[seen, :2].std(0).mean())
        steady = keypoints.copy()
        steady[:, :2] = smooth(keypoints[:, :2], seconds - last, max(size, 1.0), seen)
        return steady
