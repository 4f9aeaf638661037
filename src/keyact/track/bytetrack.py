"""ByteTrack (Zhang et al., ECCV 2022) as Roboflow's ``trackers`` package has it.

The package is imported with the first frame. From its version 2.2 on it demands opencv-python,
whose files lie over those of opencv-python-headless, so keyact asks for 2.1; its later versions
have the same call and work as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SURE = 0.5
"""Box score: surer boxes begin tracks and are matched first."""
LOST_SECONDS = 2.0
"""The detector misses people who stand before something for more than a second."""
MIN_IOU = 0.15
SAME_PLACE = 0.6
"""A track that begins where another was lost goes on with it: overlap over the smaller box."""


class ByteTrack:
    """See `keyact.track.base.Tracker`.

    A person gets a number in the second frame, so that a box that flickers once gets none.

    Parameters
    ----------
    fps : frames per second of what it is shown.
    lost_seconds : how long somebody may be hidden and keep the number.
    """

    def __init__(self, fps: float = 25.0, lost_seconds: float = LOST_SECONDS) -> None:
        if not fps > 0 or not lost_seconds > 0:
            raise ValueError(f"fps and lost_seconds are above 0, got {fps} and {lost_seconds}")
        self.lost_seconds = lost_seconds
        self._fps = fps
        self._tracker: Any = None
        self._numbers: dict[int, int] = {}  # the package's -> ours
        self._seen: dict[int, tuple[int, NDArray[np.float32]]] = {}  # frame and box, last seen
        self._frame = 0
        self._next = 1

    def __call__(self, boxes: ArrayLike, scores: ArrayLike) -> NDArray[np.intp]:
        import supervision as sv

        if self._tracker is None:
            from trackers import ByteTrackTracker

            self._tracker = ByteTrackTracker(
                # Given in frames of a 30 fps video, whatever the video's own rate.
                lost_track_buffer=max(1, round(self.lost_seconds * 30)),
                # A slide show is tracked as if it were slow motion: at least over a few frames.
                frame_rate=max(self._fps, 5 / self.lost_seconds),
                track_activation_threshold=SURE,
                minimum_consecutive_frames=1,
                minimum_iou_threshold=MIN_IOU,
                high_conf_det_threshold=SURE,
            )
        self._forget()
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)
        numbers = np.full(len(corners), -1, np.intp)
        # It gives the people back in an order of its own, and not all of them.
        found = self._tracker.update(
            sv.Detections(
                xyxy=corners,
                confidence=np.asarray(scores, np.float32).reshape(-1),
                data={"row": np.arange(len(corners))},
            )
        )
        if not len(corners) or found.tracker_id is None:
            return numbers
        rows = {int(raw): int(row) for row, raw in
                zip(found.data["row"], found.tracker_id, strict=True) if raw >= 0}  # fmt: skip
        for raw in sorted(rows, key=lambda raw: raw not in self._numbers):  # known ones first
            box = corners[rows[raw]]
            number = self._numbers.get(raw)
            if number is None or number in numbers:
                number = self._returned(box, numbers) or self._new()
                self._numbers[raw] = number
            numbers[rows[raw]] = number
            self._seen[number] = (self._frame, box)
        return numbers

    def _returned(self, box: NDArray[np.float32], taken: NDArray[np.intp]) -> int | None:
        """Somebody lost a moment ago where a new track begins.

        ByteTrack looks for people where their movement would have taken them, sizes included: it
        loses who stretches the arms and stands still.
        """
        best, found = 0.0, None
        for number, (_, other) in self._seen.items():
            overlap = _overlap(box, other)
            if number not in taken and overlap > best:
                best, found = overlap, number
        return found if best >= SAME_PLACE else None

    def _new(self) -> int:
        """From 1 in each video: the package counts on over all videos of a process."""
        self._next += 1
        return self._next - 1

    def _forget(self) -> None:
        """Who is lost for too long; of a stream without an end only the present is held."""
        self._frame += 1
        oldest = self._frame - max(self._fps * self.lost_seconds, 5)
        self._seen = {n: seen for n, seen in self._seen.items() if seen[0] >= oldest}
        self._numbers = {raw: n for raw, n in self._numbers.items() if n in self._seen}


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Common area over the smaller box's, 0 when boxes of very different sizes meet by chance."""
    start, end = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.clip(end - start, 0, None).prod())
    areas = [float((box[2:] - box[:2]).prod()) for box in (one, other)]
    union = sum(areas) - common
    return common / min(areas) if min(areas) > 0 and common / union >= MIN_IOU else 0.0
