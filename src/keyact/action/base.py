"""What every action model is to the rest of keyact."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ActionModel(Protocol):
    """Names actions, for each person and for the whole photo.

    Attributes
    ----------
    name : what the model is called in results.
    labels : the C actions it knows, in the order of its probabilities.
    unknown_threshold : below this probability the honest answer is "unknown".
    """

    name: str
    labels: tuple[str, ...]
    unknown_threshold: float

    def __call__(
        self, image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Calibrated probabilities.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        boxes : (N, 4) xyxy in pixels; N may be 0.
        keypoints : (N, 17, 3) x, y in pixels and score, layout coco17.

        Returns
        -------
        people : (N, C), a row per person.
        photo : (C,), the photo as a whole.
        """
        ...
