"""A detector that finds one person: the whole photo. For pictures cropped to a person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyact.errors import UnknownNameError


class WholeImage:
    """One box round the whole photo, score 1."""

    name = "whole-image"

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)


def load(
    source: str | None, *, threads: int | None = None, score_threshold: float | None = None
) -> WholeImage:
    """The detector; it needs no file, and the other options change nothing."""
    if source is not None:
        raise UnknownNameError("detector", f"{WholeImage.name}:{source}", [WholeImage.name])
    return WholeImage()
