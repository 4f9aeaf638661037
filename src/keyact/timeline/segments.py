"""From evidence cell by cell to segments that do not flicker."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NONE = -1
HOLD = 1.0
"""Seconds that a verdict stands for when nobody looks: a slow machine sees little of each cell."""


@dataclass(frozen=True)
class Hysteresis:
    """When an action begins and when it ends.

    Attributes
    ----------
    confirm : seconds that a change must last before it counts; shorter ones never happened.
    keep : an action goes on while its probability is at least this part of the threshold ...
    lead : ... and no other is more probable by more than this.
    """

    confirm: float = 0.5
    keep: float = 0.7
    lead: float = 0.1

    def __post_init__(self) -> None:
        if not (self.confirm >= 0 and 0 < self.keep <= 1 and 0 <= self.lead <= 1):
            raise ValueError(f"hysteresis out of range: {self}")


@dataclass(frozen=True)
class Run:
    """Cells ``first`` to ``last`` of one label, by its number."""

    first: int
    last: int
    label: int
    confidence: float


class Segmenter:
    """A state machine over cells; its memory does not grow with them.

    An action ends with the cell after which it was not believed for `Hysteresis.confirm` seconds
    on end, and begins with the cell from which it was.

    Parameters
    ----------
    thresholds : (labels,) from what probability on each is believed.
    step : seconds of a cell.
    """

    def __init__(
        self, thresholds: NDArray[np.float32], step: float, hysteresis: Hysteresis | None = None
    ) -> None:
        self.rules = hysteresis or Hysteresis()
        self._thresholds = np.asarray(thresholds, np.float64)
        self._confirm = max(1, math.ceil(self.rules.confirm / step - 1e-9))
        self._cell = 0
        self._label = _NONE  # the action that goes on
        self._first = 0
        self._total = 0.0  # of its probabilities, the doubtful cells left out
        self._doubt: list[float] = []  # its probabilities in the cells since it was last believed
        self._next = _NONE  # the action that may follow
        self._gain: list[float] = []  # its probabilities since it came up
        self._hold = max(1, math.floor(HOLD / step + 1e-9))
        self._last: tuple[int, NDArray[np.float64]] | None = None  # cell and verdict

    @property
    def label(self) -> int | None:
        """The action that goes on now."""
        return None if self._label == _NONE else self._label

    def push(self, evidence: NDArray[np.float32] | None) -> Run | None:
        """The next cell's probabilities (labels,); gives the run that is now over, if any.

        None where nobody looked: the cell before goes on, for at most `HOLD` seconds.
        """
        if evidence is not None:
            self._last = (self._cell, np.asarray(evidence, np.float64))
        if self._last is not None and self._cell - self._last[0] <= self._hold:
            row = self._last[1]
        else:
            row = np.zeros(len(self._thresholds))
        believed = self._believed(row)
        ended = None
        if self._label != _NONE:
            if believed == self._label:
                self._total += sum(self._doubt) + float(row[self._label])
                self._doubt = []
                self._next, self._gain = _NONE, []
            else:
                self._doubt.append(float(row[self._label]))
                if len(self._doubt) >= self._confirm:
                    ended = self._end()
        if believed not in (_NONE, self._label):
            if believed != self._next:
                self._next, self._gain = believed, []
            self._gain.append(float(row[believed]))
            # It cannot be that another goes on: that one was in doubt for at least as long.
            # Two looks that agree, not one that stands for long.
            if len(self._gain) >= self._confirm and evidence is not None:
                self._begin()
        elif believed == _NONE:
            self._next, self._gain = _NONE, []
        self._cell += 1
        return ended

    def finish(self) -> Run | None:
        """The run that is open at the end."""
        self._cell -= 1  # the last one, not the next
        return None if self._label == _NONE else self._end()

    def _begin(self) -> None:
        self._label, self._total = self._next, sum(self._gain)
        self._first = self._cell - len(self._gain) + 1
        self._next, self._gain, self._doubt = _NONE, [], []

    def _end(self) -> Run:
        last = self._cell - len(self._doubt)
        mean = self._total / (last - self._first + 1)
        run = Run(self._first, last, self._label, min(max(mean, 0.0), 1.0))
        self._label, self._doubt = _NONE, []
        return run

    def _believed(self, row: NDArray[np.float64]) -> int:
        if not len(row):
            return _NONE
        margin = row - self._thresholds
        best = int(margin.argmax())
        sure = bool(margin[best] >= 0)
        going = self._label
        if (
            going != _NONE
            and row[going] >= self.rules.keep * self._thresholds[going]
            and (not sure or row[best] - row[going] <= self.rules.lead)
        ):
            return going
        return best if sure else _NONE
