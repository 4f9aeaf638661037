"""What a photo network saw of a person at some frames of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.errors import InputError


@dataclass(frozen=True, eq=False)
class Glances:
    """L moments at which a person was looked at; see `keyact.action.eyes`.

    Attributes
    ----------
    at : (L,) increasing; frame numbers of a recording, or seconds of a running video.
    vectors : (L, D) floating point features.

    Raises
    ------
    InputError : shapes that do not fit, times that do not increase, numbers that are not finite.
    """

    at: NDArray[np.float64]
    vectors: NDArray[Any]

    def __post_init__(self) -> None:
        at, vectors = np.asarray(self.at, np.float64), np.asarray(self.vectors)
        if vectors.ndim != 2 or at.shape != vectors.shape[:1] or not len(at):
            raise InputError(f"glances: {vectors.shape} vectors at {at.shape} moments")
        if (np.diff(at) <= 0).any() or not np.isfinite(at).all() or not np.isfinite(vectors).all():
            raise InputError("glances: moments increase, and all numbers are finite")
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "vectors", vectors)

    @property
    def width(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def __call__(self, at: ArrayLike) -> NDArray[np.float32]:
        """(T, D) at other moments (T,): between two glances on a straight line."""
        place = np.interp(np.asarray(at, np.float64), self.at, np.arange(len(self.at)))
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, len(self.at) - 1)
        part = (place - low).astype(np.float32)[:, None]
        one, two = (self.vectors[i].astype(np.float32) for i in (low, high))
        return np.asarray(one * (1 - part) + two * part, np.float32)

    def cut(self, start: float, stop: float) -> Glances | None:
        """Those from ``start`` to ``stop``, told from ``start``; None when there are none."""
        inside = (self.at >= start) & (self.at <= stop)
        if not inside.any():
            return None
        return Glances(self.at[inside] - start, self.vectors[inside])
