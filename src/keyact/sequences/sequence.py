"""Key points of one or more people over time: the type that every loader gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.errors import InputError
from keyact.layouts import convert, get_layout, layout_names
from keyact.sequences.glances import Glances

MAX_PEOPLE = 64
MAX_FRAMES = 200_000
MAX_JOINTS = 1024
MAX_VALUES = 256 * 2**20
"""Numbers in one sequence's key points: a gigabyte."""

GENERIC = re.compile(r"generic-([1-9][0-9]{0,3})")

UNCERTAIN = 0.5
"""Score of a joint that is placed but was not seen: hidden, or inferred by the sensor."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """M people over T frames, validated; all arrays are read-only.

    A joint that was not seen is *uncertain*, not at the origin: its score says so (1 seen,
    `UNCERTAIN` placed by guess, 0 unknown) and what its coordinates are worth is for
    `keyact.sequences.preprocess` to decide. Where the score is 0 the coordinates mean nothing.

    Attributes
    ----------
    keypoints : (M, T, V, C) float32; C = 2 is pixels, x to the right and y down, C = 3 the
        sensor's own frame, mostly metres with y up. Finite.
    scores : (M, T, V) float32 in [0, 1].
    mask : (M, T) bool, the person is in the frame.
    layout : a name of `keyact.layouts`, or ``generic-V`` for V joints of no known skeleton.
    fps : frames per second, where known.
    label : the action, where known.
    name : what it is called in messages and tables.
    split : ``train``, ``val``, ``test``, or what the data set calls it.
    group : subject or video; sequences of a group must not be torn apart by a split.
    size : width and height of the picture in pixels, where known.
    glances : what a photo network saw of the first person, at frame numbers; mostly None.

    Raises
    ------
    InputError : shapes that do not fit each other or the layout, numbers that are not finite,
        or more of anything than the caps of this module.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    mask: NDArray[np.bool_]
    layout: str
    fps: float | None = None
    label: str | None = None
    name: str = ""
    split: str | None = None
    group: str | None = None
    size: tuple[int, int] | None = None
    glances: Glances | None = None

    def __post_init__(self) -> None:
        where = f"{self.name}: " if self.name else ""
        points, scores = _numbers(self.keypoints, where), _numbers(self.scores, where)
        if points.ndim != 4 or points.shape[-1] not in (2, 3):
            raise InputError(
                f"{where}key points of a sequence have shape (M, T, V, 2 or 3), got {points.shape}"
            )
        people, frames, joints, _ = points.shape
        if not (0 < people <= MAX_PEOPLE and 0 < frames <= MAX_FRAMES and 0 < joints <= MAX_JOINTS):
            raise InputError(
                f"{where}{people} people, {frames} frames, {joints} joints: at least one of each "
                f"and at most {MAX_PEOPLE}, {MAX_FRAMES} and {MAX_JOINTS}"
            )
        if points.size > MAX_VALUES:
            raise InputError(f"{where}more than {MAX_VALUES} numbers")
        if scores.shape != points.shape[:3]:
            raise InputError(f"{where}scores have shape {scores.shape}, not {points.shape[:3]}")
        mask = np.array(self.mask, bool)
        if mask.shape != points.shape[:2]:
            raise InputError(f"{where}the mask has shape {mask.shape}, not {points.shape[:2]}")
        if not np.isfinite(points).all() or not np.isfinite(scores).all():
            raise InputError(f"{where}not all numbers are finite; mark missing joints by score 0")
        if ((scores < 0) | (scores > 1)).any():
            raise InputError(f"{where}scores lie in [0, 1]")
        if layout_size(self.layout) != joints:
            raise InputError(
                f"{where}{self.layout} has {layout_size(self.layout)} joints, got {joints}"
            )
        if self.fps is not None and not 0 < self.fps < 1e5:
            raise InputError(f"{where}{self.fps} frames per second")
        for name, array in (("keypoints", points), ("scores", scores), ("mask", mask)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def of(
        cls,
        keypoints: ArrayLike,
        scores: ArrayLike | None = None,
        layout: str | None = None,
        **fields: Any,
    ) -> Sequence:
        """A sequence from whatever is at hand.

        Parameters
        ----------
        keypoints : (T, V, C) of one person or (M, T, V, C); what is not finite is missing.
        scores : (T, V) or (M, T, V), cut to [0, 1]; by default 1, and 0 for joints that are not
            finite and for people whose joints all lie at the origin, as sensors mark absence.
        layout : by default ``generic-V``.
        fields : the other attributes; by default a person is where a joint has a score.
        """
        name = str(fields.get("name", ""))
        points = _numbers(keypoints, f"{name}: " if name else "")
        points = points[None] if points.ndim == 3 else points
        if points.ndim != 4:
            raise InputError(f"{name}: key points have shape (M, T, V, C), got {points.shape}")
        seen = np.asarray(np.isfinite(points).all(-1), np.bool_)
        points[~seen] = 0
        if scores is None:
            given = np.ones(points.shape[:3], np.float32)
            given[(points == 0).all((2, 3))] = 0
        else:
            given = np.nan_to_num(_numbers(scores, name), nan=0.0, posinf=1.0, neginf=0.0)
            given = (given[None] if given.ndim == 2 else given).clip(0, 1)
        if given.shape != seen.shape:
            raise InputError(f"{name}: scores have shape {given.shape}, not {seen.shape}")
        given = np.asarray(given * seen, np.float32)
        mask = fields.pop("mask", None)
        return cls(
            points.astype(np.float32),
            given,
            np.asarray((given > 0).any(2), np.bool_) if mask is None else mask,
            layout=layout or f"generic-{points.shape[2]}",
            **fields,
        )

    def __len__(self) -> int:
        return int(self.keypoints.shape[1])

    def __repr__(self) -> str:
        people, frames, _, dims = self.keypoints.shape
        return (
            f"Sequence({self.name!r}, label={self.label!r}, {people} x {frames} frames, "
            f"{self.layout} in {dims}D)"
        )

    @property
    def people(self) -> int:
        """M."""
        return int(self.keypoints.shape[0])

    @property
    def joints(self) -> int:
        """V."""
        return int(self.keypoints.shape[2])

    @property
    def dims(self) -> int:
        """C: 2 or 3."""
        return int(self.keypoints.shape[3])

    @property
    def seconds(self) -> float | None:
        """Length, where the frame rate is known."""
        return None if self.fps is None else len(self) / self.fps

    def cut(self, start: int, stop: int) -> Sequence:
        """Frames ``start`` to ``stop``, the last not included."""
        if not 0 <= start < stop <= len(self):
            raise InputError(f"{self.name}: frames {start} to {stop} of {len(self)}")
        part = slice(start, stop)
        return replace(
            self,
            keypoints=self.keypoints[:, part],
            scores=self.scores[:, part],
            mask=self.mask[:, part],
            glances=None if self.glances is None else self.glances.cut(start, stop - 1),
        )

    def to_layout(self, layout: str) -> Sequence:
        """The joints of another registered layout; see `keyact.layouts.convert`."""
        if layout == self.layout:
            return self
        rows = [
            convert(
                np.stack([self.keypoints[..., axis]] * 2 + [self.scores], -1), self.layout, layout
            )
            for axis in range(self.dims)
        ]
        points = np.stack([row[..., 0] for row in rows], -1)
        return replace(self, keypoints=points, scores=rows[0][..., 2], layout=layout)

    def best(self, people: int) -> Sequence:
        """Exactly this many people, the most surely seen first; who lacks has score 0."""
        order = np.argsort(-self.scores.sum((1, 2)), kind="stable")[:people]
        lacking = people - len(order)
        return replace(
            self,
            keypoints=np.pad(self.keypoints[order], ((0, lacking), (0, 0), (0, 0), (0, 0))),
            scores=np.pad(self.scores[order], ((0, lacking), (0, 0), (0, 0))),
            mask=np.pad(self.mask[order], ((0, lacking), (0, 0))),
        )


def layout_size(layout: str) -> int:
    """V of a registered or a ``generic-V`` layout.

    Raises
    ------
    UnknownNameError : it is neither.
    """
    generic = GENERIC.fullmatch(layout)
    return int(generic[1]) if generic else len(get_layout(layout))


def layouts_of_size(joints: int) -> list[str]:
    """Registered layouts of V joints."""
    return [name for name in layout_names() if len(get_layout(name)) == joints]


def _numbers(values: ArrayLike, where: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            return np.array(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}key points and scores must be numbers") from None
