"""Flip test for backends that give coordinates instead of heatmaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-6  # keeps a joint that neither run believes in the middle of both


def average_mirrored(
    straight: NDArray[np.float64],
    mirrored: NDArray[np.float64],
    flip: NDArray[np.intp],
    width: int,
) -> NDArray[np.float64]:
    """Mean of a pose in a crop and of the one in the mirrored crop, weighted by joint scores.

    Parameters
    ----------
    straight : (..., K, 3) x, y in pixels of the crop (centres are integers) and score.
    mirrored : (..., K, 3) in pixels of the mirrored crop.
    flip : (K,) of the layout: its left and right joints swapped.
    width : of the crop in pixels.

    Returns
    -------
    (..., K, 3) in pixels of the crop; scores are the means of both.
    """
    back = mirrored[..., flip, :].copy()
    back[..., 0] = width - 1 - back[..., 0]
    both = np.stack([straight, back])
    weight = both[..., 2:] + _TINY
    mean = (both * weight).sum(0) / weight.sum(0)
    mean[..., 2] = both[..., 2].mean(0)
    return np.asarray(mean, np.float64)
