"""One vocabulary for the verdicts of windows and of single frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyact.action.temporal import SequenceModel
from keyact.errors import WeightsError
from keyact.results import Person

STEP = 0.25
"""Seconds of a cell when there is no sequence network, whose step it otherwise is."""


@dataclass(frozen=True)
class Evidence:
    """Which labels there are and what speaks for them.

    Time is cut into cells of ``step`` seconds from when a person is first seen. The sequence
    network's verdict on a cell is the mean over the windows that cover it, that of the photo model
    the mean over its frames. A label that both know gets the mean of both, as each sees what the
    other does not: movement, and things and places. A label that one of them knows is its word
    alone; but one that only the photo model knows counts the less, the surer the network is of
    what it sees, because in a video the movement decides.

    Attributes
    ----------
    sequence : the network for windows, or None.
    photo_labels : labels of the verdicts of single frames; may be empty.
    photo_threshold, sequence_threshold : below these probabilities an action is unknown.
    """

    sequence: SequenceModel | None
    photo_labels: tuple[str, ...]
    photo_threshold: float
    sequence_threshold: float = 0.0

    @classmethod
    def of(
        cls,
        sequence: SequenceModel | None,
        photo_labels: tuple[str, ...],
        photo_threshold: float,
        min_confidence: float | None = None,
    ) -> Evidence:
        """With the models' own thresholds, or with one for both.

        Raises
        ------
        WeightsError : the network takes other than one person's 2D key points.
        """
        if sequence is not None and (sequence.features.dims, sequence.features.people) != (2, 1):
            raise WeightsError(
                f"{sequence.name}: takes {sequence.features.people} people in "
                f"{sequence.features.dims}D; for videos it must be one person in 2D"
            )
        own = 0.0 if sequence is None else sequence.unknown_threshold
        if min_confidence is not None:
            return cls(sequence, photo_labels, min_confidence, min_confidence)
        return cls(sequence, photo_labels, photo_threshold, own)

    @property
    def step(self) -> float:
        """Seconds of a cell."""
        return STEP if self.sequence is None else self.sequence.step

    @property
    def cells(self) -> int:
        """Cells that a window covers; 0 without windows."""
        return 0 if self.sequence is None else max(1, round(self.sequence.window / self.step))

    @property
    def labels(self) -> tuple[str, ...]:
        """The sequence network's labels, then those that only the photo model knows."""
        first = () if self.sequence is None else self.sequence.labels
        return first + tuple(label for label in self.photo_labels if label not in first)

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """(labels,) from what probability on a label is believed."""
        return self._mean(
            np.full(self.window_size, self.sequence_threshold),
            np.full(len(self.photo_labels), self.photo_threshold),
        )

    @property
    def window_size(self) -> int:
        """Labels of the sequence network."""
        return 0 if self.sequence is None else len(self.sequence.labels)

    def combine(
        self, window: NDArray[np.floating] | None, photo: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        """(labels,) from both verdicts on a cell, each None when there is none."""
        row = self._mean(window, photo)
        if window is not None and len(window):
            row[self.window_size :] *= 1 - float(window.max())
        return row

    def _mean(
        self, window: NDArray[np.floating] | None, photo: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        labels = self.labels
        total, voices = np.zeros((2, len(labels)), np.float32)
        if window is not None:
            total[: self.window_size] += window
            voices[: self.window_size] += 1
        if photo is not None:
            places = [labels.index(label) for label in self.photo_labels]
            total[places] += photo
            voices[places] += 1
        return np.asarray(total / np.maximum(voices, 1), np.float32)

    def photo_row(self, person: Person) -> NDArray[np.float32]:
        """(photo labels,) of one frame's ranked actions."""
        row = np.zeros(len(self.photo_labels), np.float32)
        for action in person.actions:
            if action.label in self.photo_labels:
                row[self.photo_labels.index(action.label)] = action.probability
        return row
