"""What every pose backend looks like."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray


@runtime_checkable
class PoseEstimator(Protocol):
    """A top-down pose network: photo and person boxes in, key points out.

    Every backend keeps to this, and ``tests/pose/test_pose_contract.py`` holds it to it:
    the same call gives the same answer, many boxes at once give what each gives alone, and
    boxes that are empty in number, tiny, or outside the photo are not an error.
    """

    @property
    def name(self) -> str:
        """The name it is loaded by."""

    @property
    def layout(self) -> str:
        """Name of its skeleton layout; K joints."""

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        """Key points of each person.

        Parameters
        ----------
        image : (h, w, 3) uint8 BGR.
        boxes : (N, 4) xyxy in photo pixels; N may be 0.

        Returns
        -------
        (N, K, 3) float32: x, y in photo pixels (pixel centres are integers) and score 0 to 1.
        """
