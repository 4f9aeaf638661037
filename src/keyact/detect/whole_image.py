"""A detector that finds one person: the whole photo. For pictures cropped to a person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class WholeImage:
    """One box round the whole photo, score 1."""

    name = "whole-image"

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)
