"""How much to trust a whole pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pose_score(keypoints: ArrayLike, box_scores: ArrayLike) -> NDArray[np.float32]:
    """Score of each pose as AlphaPose writes it (its ``proposal_score``; MVIG-SJTU/AlphaPose#921).

    ``mean(joint scores) + box score + 1.25 * max(joint scores)``: from 0 to 3.25.

    Parameters
    ----------
    keypoints : (N, K, 3) x, y, score; K >= 1; a missing joint counts as score 0.
    box_scores : (N,) of the detector, 0 to 1.

    Returns
    -------
    (N,) float32.
    """
    joints = np.asarray(keypoints, np.float64)[..., 2]
    total = joints.mean(1) + np.asarray(box_scores, np.float64) + 1.25 * joints.max(1)
    return np.asarray(total, np.float32)
