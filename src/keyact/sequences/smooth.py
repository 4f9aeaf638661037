"""Smoothing over time: One-Euro for streams, Savitzky-Golay for whole clips.

Casiez, Roussel and Vogel: 1 € Filter, CHI 2012. A low-pass whose cutoff grows with speed:
``cutoff = min_cutoff + beta * speed``; still joints are steadied, fast ones do not lag.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]

MIN_CUTOFF = 1.5  # Hz: what is left of the jitter of a joint that stands still
BETA = 1.0  # Hz per body size per second
DERIVATIVE_CUTOFF = 1.0  # Hz, as the paper has it


class OneEuro:
    """The filter's state for one array of coordinates, value by value.

    Parameters
    ----------
    min_cutoff, derivative_cutoff : Hz.
    beta : Hz per unit of speed; speeds are divided by ``scale`` first.
    """

    def __init__(
        self,
        min_cutoff: float = MIN_CUTOFF,
        beta: float = BETA,
        derivative_cutoff: float = DERIVATIVE_CUTOFF,
    ) -> None:
        if min_cutoff <= 0 or derivative_cutoff <= 0 or beta < 0:
            raise ValueError("cutoffs are above 0 and beta is at least 0")
        self._settings = (min_cutoff, beta, derivative_cutoff)
        self._value: Array | None = None
        self._speed: Array | None = None

    def __call__(
        self, value: ArrayLike, seconds: float, scale: ArrayLike = 1.0, seen: ArrayLike = True
    ) -> Array:
        """The next value, smoothed.

        Parameters
        ----------
        value : (..., V, C), always of the same shape.
        seconds : since the value before; at the first it does not count.
        scale : (...) size of the body in the same units.
        seen : (..., V); a joint that is not seen passes through and leaves no trace, so that it
            does not drag the joint along when it is seen again.
        """
        new = np.asarray(value, np.float32)
        trusted = np.broadcast_to(np.asarray(seen, bool), new.shape[:-1])[..., None]
        if self._value is None or self._speed is None:
            self._value = np.where(trusted, new, np.nan)
            self._speed = np.zeros_like(new)
            return new.copy()
        min_cutoff, beta, derivative_cutoff = self._settings
        seconds = max(seconds, 1e-4)
        old = np.where(np.isnan(self._value), new, self._value)
        speed = (new - old) / seconds
        speed = self._speed + _alpha(derivative_cutoff, seconds) * (speed - self._speed)
        size = np.maximum(np.asarray(scale, np.float32), 1e-6)[..., None, None]
        pace = np.linalg.norm(speed, axis=-1, keepdims=True) / size
        alpha = _alpha(min_cutoff + beta * pace, seconds)
        smooth = np.asarray(old + alpha * (new - old), np.float32)
        self._value = np.where(trusted, smooth, self._value).astype(np.float32)
        self._speed = np.where(trusted, speed, self._speed).astype(np.float32)
        return np.where(trusted, smooth, new).astype(np.float32)


def one_euro(
    keypoints: ArrayLike,
    fps: float,
    min_cutoff: float = MIN_CUTOFF,
    beta: float = BETA,
    scale: ArrayLike = 1.0,
) -> Array:
    """A whole clip (..., T, V, C) through `OneEuro`, frame after frame."""
    points = np.asarray(keypoints, np.float32)
    frames = np.moveaxis(points, -3, 0)
    smooth = OneEuro(min_cutoff, beta)
    return np.moveaxis(
        np.stack([smooth(frame, 1 / fps, np.asarray(scale)) for frame in frames]), 0, -3
    )


def savgol(keypoints: ArrayLike, window: int = 7, order: int = 2) -> Array:
    """Savitzky and Golay's local polynomials (1964) over the frames of (..., T, V, C).

    The window shrinks to the clip; a clip of fewer than ``order + 1`` frames is left alone.
    """
    points = np.asarray(keypoints, np.float32)
    frames = points.shape[-3]
    window = min(window, frames if frames % 2 else frames - 1)
    if window <= order:
        return points.copy()
    from scipy.signal import savgol_filter

    return np.asarray(savgol_filter(points, window, order, axis=-3), np.float32)


def _alpha(cutoff: float | NDArray[np.floating], seconds: float) -> NDArray[np.float32]:
    turn = 2 * math.pi * np.asarray(cutoff) * seconds
    return np.asarray(turn / (1 + turn), np.float32)
