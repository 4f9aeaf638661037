"""No action model: for key points alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class NoActions:
    """See `keyact.action.base.ActionModel`: knows no action, so every answer is "unknown"."""

    name = "none"
    labels: tuple[str, ...] = ()
    unknown_threshold = 1.0

    def __call__(
        self, image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        people = len(np.asarray(boxes, np.float32).reshape(-1, 4))
        return np.zeros((people, 0), np.float32), np.zeros(0, np.float32)
