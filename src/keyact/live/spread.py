"""Looking at people in turn, when there is no time for everybody in each frame.

Boxes are found in every frame, for the tracker. Key points and actions of the people who are not
looked at in a frame are those of the last time, the key points moved with the box.
``benchmarks/tracking.py`` measures how far those are from key points measured anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.action.base import ActionModel
from keyact.action.keypoint_fusion import largest
from keyact.pose.base import PoseEstimator
from keyact.pose.nms import MergedPoses, nms_for
from keyact.recognizer import ALL, Recognizer
from keyact.results import FrameResult

MIN_OVERLAP = 0.5
"""IoU with a box of the frame before from which it is taken for the same person."""
MAX_AGE, MAX_TURNS = 0.5, 4
"""Seconds and frames after both of which somebody is looked at again, whatever that costs."""
_LEARN = 0.2  # weight of the newest cost


@dataclass
class _Seen:
    """What is known of one person of the last frame."""

    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    row: NDArray[np.float32] | None
    when: float
    age: int


class Spread:
    """The stages of one video, with people looked at in turn.

    Parameters
    ----------
    recognizer : whose networks are used.

    Attributes
    ----------
    recognizer : a recogniser for the frames of this video alone, one after the other; it ranks all
        actions.
    budget : people looked at per frame; None for all.
    looked, carried : people of all frames so far who were looked at, and who were not.
    every : in how many frames a person was looked at once, of late: 1 for each frame.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self.budget: int | None = None
        self.looked = self.carried = 0
        self.every = 1.0
        self._seconds = 0.0
        self._seen: list[_Seen] = []
        self._ages: list[int] = []
        self._fixed = self._each = 0.0
        self.recognizer = recognizer.with_stages(
            _Actions(self, recognizer.action_model),
            _Poses(self, recognizer.pose_estimator),
            top_k=ALL,
        )

    def begin(self, seconds: float, allowance: float | None) -> None:
        """Before each frame.

        Parameters
        ----------
        seconds : time of the frame.
        allowance : seconds that it may cost; None for whatever it takes.
        """
        self._seconds = seconds
        self._ages = []
        if allowance is None or not self._each:
            self.budget = None
        else:
            self.budget = max(1, math.floor((allowance - self._fixed) / self._each))

    def end(self, result: FrameResult, spent: float) -> FrameResult:
        """After each frame: its result with ``pose_age``, and what it cost is learnt.

        Parameters
        ----------
        spent : seconds that it cost, with all that is done beside its recognition.
        """
        ages = self._ages
        looked = ages.count(0)
        self.looked += looked
        self.carried += len(ages) - looked
        if ages:
            self.every += _LEARN * (len(ages) / max(looked, 1) - self.every)
        people = sum(result.timings_ms.get(stage, 0.0) for stage in ("pose", "action")) / 1000
        fixed = max(spent - people, 0.0)
        self._fixed += (_LEARN if self._fixed else 1) * (fixed - self._fixed)
        if looked:
            each = people / looked
            self._each += (_LEARN if self._each else 1) * (each - self._each)
        if not any(ages):
            return result
        aged = [
            person.model_copy(update={"pose_age": age})
            for person, age in zip(result.people, ages, strict=True)
        ]
        return result.model_copy(update={"people": tuple(aged)})

    def poses(
        self, estimator: PoseEstimator, image: NDArray[np.uint8], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Key points (N, K, 3) of everybody, of some anew."""
        known = _matched(boxes, self._seen)
        due = self._due(known)
        fresh = iter(estimator(image, boxes[due]))
        seen = []
        for box, before, look in zip(boxes, known, due.tolist(), strict=True):
            if look or before is None:
                points = np.asarray(next(fresh), np.float32)
                seen.append(_Seen(box, points, None, self._seconds, 0))
            else:
                points = moved(before.keypoints, before.box, box)
                seen.append(_Seen(box, points, before.row, before.when, before.age + 1))
        self._seen = seen
        if not seen:
            return np.asarray(estimator(image, boxes), np.float32)
        return np.stack([one.keypoints for one in seen])

    def actions(
        self,
        model: ActionModel,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        keypoints: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities of everybody (N, C), of some anew, and of the photo (C,)."""
        by_box = {one.box.tobytes(): one for one in self._seen}
        people = [by_box[box.tobytes()] for box in boxes]
        due = np.array([one.age == 0 or one.row is None for one in people], bool)
        self._ages = [0 if look else one.age for look, one in zip(due, people, strict=True)]
        if due.all():
            rows, photo = model(image, boxes, keypoints)
        else:
            rows = np.zeros((len(people), len(model.labels)), np.float32)
            if due.any():
                rows[due] = model(image, boxes[due], keypoints[due])[0]
            for place in np.flatnonzero(~due):
                row = people[place].row
                assert row is not None
                rows[place] = row
            photo = rows[largest(boxes)].mean(0)
        for one, row in zip(people, rows, strict=True):
            one.row = row
        return rows, photo

    def _due(self, known: list[_Seen | None]) -> NDArray[np.bool_]:
        """Who is new, who was not looked at for long, then whoever waits longest."""
        waited = np.array([math.inf if one is None else self._seconds - one.when for one in known])
        turns = np.array([MAX_TURNS if one is None else one.age + 1 for one in known])
        due = (waited >= MAX_AGE) & (turns >= MAX_TURNS)
        if self.budget is None:
            due[:] = True
        else:
            rest = max(0, self.budget - int(due.sum()))
            order = [row for row in np.argsort(-waited, kind="stable") if not due[row]]
            due[order[:rest]] = True
        return due


class _Poses:
    def __init__(self, spread: Spread, estimator: PoseEstimator) -> None:
        self.name, self.layout = estimator.name, estimator.layout
        self._spread, self._estimator = spread, estimator

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        rows = np.asarray(boxes, np.float32).reshape(-1, 4)
        return self._spread.poses(self._estimator, image, rows)

    def suppress(
        self, keypoints: ArrayLike, box_scores: ArrayLike, boxes: ArrayLike
    ) -> MergedPoses:
        return nms_for(self._estimator)(keypoints, box_scores, boxes)


class _Actions:
    def __init__(self, spread: Spread, model: ActionModel) -> None:
        self.name, self.labels = model.name, model.labels
        self.unknown_threshold = model.unknown_threshold
        self._spread, self._model = spread, model

    def __call__(
        self, image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = np.asarray(boxes, np.float32).reshape(-1, 4)
        return self._spread.actions(self._model, image, rows, np.asarray(keypoints, np.float32))


def _matched(boxes: NDArray[np.float32], seen: list[_Seen]) -> list[_Seen | None]:
    """For each box (N, 4) the person of the last frame it belongs to, the best pairs first."""
    known: list[_Seen | None] = [None] * len(boxes)
    if not len(boxes) or not seen:
        return known
    others = np.stack([one.box for one in seen])
    start = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(end - start, 0, None).prod(-1)
    areas = [(rows[:, 2:] - rows[:, :2]).prod(-1) for rows in (boxes, others)]
    overlap = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-6)
    while overlap.max() >= MIN_OVERLAP:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        known[int(row)] = seen[int(column)]
        overlap[row] = overlap[:, column] = 0
    return known


def moved(
    keypoints: NDArray[np.float32], old: NDArray[np.float32], new: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Key points (K, 3) of a box (4,) xyxy, moved to where the box is now.

    They move as far as both opposite edges did: a box that grows round an outstretched arm, or
    that trembles, does not drag the body along.
    """
    shift = new - old
    low, high = shift[:2], shift[2:]
    least = np.where(np.abs(low) < np.abs(high), low, high)
    result = keypoints.copy()
    result[:, :2] += np.where(low * high > 0, least, 0)
    return result
