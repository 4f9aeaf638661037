"""What every tracker is to the rest of keyact."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Tracker(Protocol):
    """Numbers people, frame after frame of one video; one object per video.

    Attributes
    ----------
    lost_seconds : how long it remembers somebody it does not see.
    """

    lost_seconds: float

    def __call__(
        self, boxes: ArrayLike, scores: ArrayLike, poses: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        """Numbers of the people of the next frame.

        Parameters
        ----------
        boxes : (N, 4) xyxy in pixels; N may be 0.
        scores : (N,) of the boxes.
        poses : (N, 17, 3) x, y in pixels and score, layout coco17, when they are known.

        Returns
        -------
        (N,) numbers from 1, each once; -1 for people it is not sure of yet.
        """
        ...
