"""What every person detector looks like."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

GIVEN = ("boxes", "precomputed")
"""Detectors that look a photo up in a file by its pixels, and find nobody themselves; so does the
pose backend of the same name."""


@runtime_checkable
class Detector(Protocol):
    """Finds the people in a photo.

    Every detector keeps to this, and ``tests/detect/test_detector_contract.py`` holds it
    to it.
    """

    @property
    def name(self) -> str:
        """The name it is loaded by."""

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes and scores, highest score first.

        Parameters
        ----------
        image : (h, w, 3) uint8 BGR.

        Returns
        -------
        boxes : (N, 4) float32 xyxy in photo pixels, inside the photo, at least one pixel
            wide and high; N may be 0.
        scores : (N,) float32, 0 to 1.
        """
