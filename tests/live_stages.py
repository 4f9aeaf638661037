"""Stages without networks, whose answers say when they were given."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from keyact.recognizer import Recognizer

LABELS = ("walk", "run", "field hockey")


@dataclass
class Detector:
    """Finds people side by side, who walk to the right by ``speed`` pixels in each frame."""

    people: int = 3
    speed: float = 2.0
    name: str = "made-up"
    frame: int = -1

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.frame += 1
        left = 10 + 60 * np.arange(self.people) + self.speed * self.frame
        boxes = np.stack([left, 0 * left + 10, left + 40, 0 * left + 90], 1).astype(np.float32)
        return boxes.reshape(-1, 4), np.full(self.people, 0.9, np.float32)


@dataclass
class Pose:
    """Joints at the same places of every box."""

    name: str = "made-up"
    layout: str = "coco17"
    asked: list[int] = field(default_factory=list)

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        rows = np.asarray(boxes, np.float32).reshape(-1, 4)
        self.asked.append(len(rows))
        steps = np.linspace(0.1, 0.9, 17, dtype=np.float32)
        points = np.full((len(rows), 17, 3), 0.8, np.float32)
        for axis in (0, 1):
            low, high = rows[:, axis, None], rows[:, axis + 2, None]
            points[:, :, axis] = low + (high - low) * (steps if axis else steps[::-1])
        return points


@dataclass
class Action:
    """Says that everybody walks, unless told otherwise."""

    row: tuple[float, ...] = (0.9, 0.1, 0.0)
    name: str = "made-up"
    labels: tuple[str, ...] = LABELS
    unknown_threshold: float = 0.5
    asked: list[int] = field(default_factory=list)

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(len(boxes))
        row = np.array(self.row, np.float32)
        return np.tile(row, (len(boxes), 1)), row


def recognizer(people: int = 3, speed: float = 2.0) -> tuple[Recognizer, Detector, Pose, Action]:
    """A recogniser of such stages, and the stages."""
    stages = Detector(people, speed), Pose(), Action()
    return Recognizer(stages[2], stages[1], stages[0]), *stages
