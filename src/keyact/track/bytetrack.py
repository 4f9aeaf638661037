"""ByteTrack (Zhang et al., ECCV 2022) as Roboflow's ``trackers`` package has it.

The package is imported with the first frame. From its version 2.2 on it demands opencv-python,
whose files lie over those of opencv-python-headless, so keyact asks for 2.1; its later versions
have the same call and work as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.layouts import get_layout
from keyact.pose.evaluation import similarity

SURE = 0.5
"""Box score: surer boxes begin tracks and are matched first."""
LOST_SECONDS = 2.0
"""The detector misses people who stand before something for more than a second."""
MIN_IOU = 0.15
SAME_PLACE = 0.6
"""A track that begins where another was lost goes on with it: overlap over the smaller box."""
SAME_POSE = 0.6
"""OKS from which two boxes of one frame hold the same person."""
_SEEN = 0.3  # joint score
_ENOUGH = 5  # joints that both show


class ByteTrack:
    """See `keyact.track.base.Tracker`.

    A person gets a number in the second frame, so that a box that flickers once gets none. Nor
    does a second box with the pose of somebody who has a number in the same frame: somebody who
    stretches the arms is for moments found twice, once with and once without them, often with left
    and right exchanged, which is why pose NMS keeps both.

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

    def __call__(
        self, boxes: ArrayLike, scores: ArrayLike, poses: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        import supervision as sv

        if self._tracker is None:
            from trackers import ByteTrackTracker

            self._tracker = ByteTrackTracker(
                # Given in frames of a 30 fps video, whatever the video's own rate.
                lost_track_buffer=max(1, round(self.lost_seconds * 30)),
                frame_rate=self._memory / self.lost_seconds,
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
        joints = None if poses is None else np.asarray(poses, np.float64)
        for raw in sorted(rows, key=lambda raw: raw not in self._numbers):  # known ones first
            box = corners[rows[raw]]
            number = self._numbers.get(raw)
            if number is None or number in numbers:
                if joints is not None and _twice(rows[raw], joints, corners, numbers):
                    continue
                number = self._returned(box, numbers) or self._new()
                self._numbers[raw] = number
            numbers[rows[raw]] = number
            self._seen[number] = (self._frame, box)
        return numbers

    @property
    def fps(self) -> float:
        """Frames per second of what it is shown; may be set anew when they change."""
        return self._fps

    @fps.setter
    def fps(self, fps: float) -> None:
        self._fps = fps
        if self._tracker is not None:
            self._tracker.maximum_frames_without_update = int(self._memory)

    @property
    def _memory(self) -> float:
        """Frames that somebody may be hidden.

        A slide show is tracked as if it were slow motion: at least over a few frames.
        """
        return max(self._fps * self.lost_seconds, 5)

    def forget(self) -> None:
        """Everybody it knows, after a long break; their numbers are not given again."""
        self._tracker = None
        self._seen, self._numbers = {}, {}

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
        oldest = self._frame - self._memory
        self._seen = {n: seen for n, seen in self._seen.items() if seen[0] >= oldest}
        self._numbers = {raw: n for raw, n in self._numbers.items() if n in self._seen}


def _twice(
    row: int, poses: NDArray[np.float64], boxes: NDArray[np.float32], numbers: NDArray[np.intp]
) -> bool:
    """Whether somebody who has a number has this row's pose, left and right exchanged or not."""
    others = poses[numbers > 0]
    area = np.full(len(others), (boxes[row, 2:] - boxes[row, :2]).prod())
    for pose in (poses[row], poses[row][get_layout("coco17").flip]):
        both = (pose[:, 2] >= _SEEN) & (others[..., 2] >= _SEEN)
        count = both.sum(-1)
        alike = (similarity(others, pose, area) * both).sum(-1) / np.maximum(count, 1)
        if (alike[count >= _ENOUGH] >= SAME_POSE).any():
            return True
    return False


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Common area over the smaller box's, 0 when boxes of very different sizes meet by chance."""
    start, end = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.clip(end - start, 0, None).prod())
    areas = [float((box[2:] - box[:2]).prod()) for box in (one, other)]
    union = sum(areas) - common
    return common / min(areas) if min(areas) > 0 and common / union >= MIN_IOU else 0.0
