"""AlphaPose's own pose NMS, so that its networks give here the people that they give there.

From the best pose down (mean joint score), every pose j still there that is the reference i in
other words goes, and is merged into it. It is, when one of these is reached:

similarity ``> gamma``
    ``sum_n tanh(c_i / delta1) tanh(c_j / delta1) + mu sum_n exp(-d_n / delta2)``, with ``c`` the
    joint scores, ``d_n`` the distance of joint n in pixels of the photo, and the first sum over
    joints not further apart than 1 pixel (Fang et al., RMPE, ICCV 2017, with ``d``, not ``d^2``).
matches ``>= matches``
    joints within ``alpha`` of the longer side of i's box, `MATCH_PIXELS` at most.

Of 133 and 136 joints body, face and hands each count by their mean with the weights of `FACE` and
`HANDS`, so that 68 points of a face do not outvote the body.

`keyact.pose.nms` has keyact's own rule, which works at every size of person; these constants are
in pixels of the photo and were tuned for people of some hundred.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.pose.nms import MergedPoses

Floats = NDArray[np.floating]


class Constants(NamedTuple):
    """AlphaPose's ``delta1, mu, delta2, gamma, scoreThreds, matchThreds, alpha``."""

    delta1: float
    mu: float
    delta2: float
    gamma: float
    min_score: float
    matches: float
    alpha: float


class Part(NamedTuple):
    """Joints of a whole body: which, their reach over the body's, and two weights over its."""

    joints: slice
    reach: float
    score_weight: float
    distance_weight: float


BODY = Constants(1.0, 1.7, 2.65, 22.48, 0.3, 5, 0.1)
"""For 17, 26 and 68 joints, and for more with a heatmap head. Source: AlphaPose 0.5,
``alphapose/utils/pPose_nms.py``, "Constant Configuration"."""

WHOLE_BODY = Constants(1.0, 1.65, 8.0, 3.6, 0.01, 3, 0.15)
"""For 133 and 136 joints of a network that is not trained by heatmaps alone. Source: as `BODY`,
``pose_nms`` where ``use_heatmap_loss`` is false."""

FACE = Part(slice(-110, -42), 1.9, 1.0, 1.0)
"""Source: as `BODY`, ``face_factor``, ``face_weight_score`` and ``face_weight_dist``."""
HANDS = Part(slice(-42, None), 0.55, 0.1, 1.5)
"""Source: as `BODY`, ``hand_factor``, ``hand_weight_score`` and ``hand_weight_dist``."""
_TRUNK = Part(slice(None, -110), 1.0, 1.0, 1.0)

WHOLE_BODY_JOINTS = (133, 136)
# The count of matches parts them here for 133 joints too, 3 joints off: AlphaPose's ``[:26]``.
_MATCH_PARTS = ((slice(None, 26), 1.0), (slice(26, 94), FACE.reach), (slice(94, None), HANDS.reach))

SAME_PIXEL = 1.0  # AlphaPose's ``dist <= 1``
MATCH_PIXELS = 7.0  # its PCK_match: ``min(ref_dist, 7)``
MERGE_PIXELS = 15.0  # its p_merge_fast: ``min(ref_dist, 15)``
MIN_BOX_AREA = 0.0  # its option --min_box_area, against 1.5^2 times the pose's own box
_AREA = 1.5**2
_MISSING = 1e-5  # its score of a joint that has 0


def constants_for(joints: int, head: str) -> Constants:
    """The set for a number of joints and a head of `keyact.pose.alphapose.network.HEADS`."""
    return WHOLE_BODY if joints in WHOLE_BODY_JOINTS and head != "heatmap" else BODY


def alphapose_nms(
    keypoints: ArrayLike,
    boxes: ArrayLike,
    constants: Constants = BODY,
    min_box_area: float = MIN_BOX_AREA,
) -> MergedPoses:
    """Merge poses that show the same person, and drop those without a sure joint.

    Parameters
    ----------
    keypoints : (N, K, 3) x, y in photo pixels and score; N may be 0.
    boxes : (N, 4) xyxy in photo pixels.
    constants : see `constants_for`.
    min_box_area : square pixels that 1.5 x 1.5 times the box round the joints must have.

    Returns
    -------
    Poses whose best joint has ``constants.min_score``, most certain first; a joint's score is
    the mean of those merged, weighted by themselves.
    """
    poses = np.array(keypoints, np.float64)
    if len(poses) == 0:
        return MergedPoses(poses.astype(np.float32), np.zeros(0, np.intp))
    poses[..., 2][poses[..., 2] == 0] = _MISSING
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    reaches = constants.alpha * (corners[:, 2:] - corners[:, :2]).max(1)
    certainty = poses[..., 2].mean(1)

    left = np.arange(len(poses))
    merged, kept = [], []
    while len(left):
        best = left[certainty[left].argmax()]
        same = _same(poses[best], poses[left], reaches[best], constants) | (left == best)
        pose = _merge(poses[best], poses[left[same]], min(reaches[best], MERGE_PIXELS))
        sides = np.ptp(pose[:, :2], axis=0)
        if (
            min(poses[best, :, 2].max(), pose[:, 2].max()) >= constants.min_score
            and _AREA * sides.prod() >= min_box_area
        ):
            merged.append(pose)
            kept.append(best)
        left = left[~same]
    found = np.array(merged, np.float32).reshape(-1, *poses.shape[1:])
    return MergedPoses(found, np.array(kept, np.intp))


def _same(pose: Floats, others: Floats, reach: float, constants: Constants) -> NDArray[np.bool_]:
    """(M,) which of the poses (M, K, 3) are this one (K, 3)."""
    apart = np.linalg.norm(others[..., :2] - pose[:, :2], axis=-1)
    trust = np.tanh(pose[:, 2] / constants.delta1) * np.tanh(others[..., 2] / constants.delta1)
    trust *= apart <= SAME_PIXEL
    limit = min(reach, MATCH_PIXELS)
    if len(pose) not in WHOLE_BODY_JOINTS:
        near = np.exp(-apart / constants.delta2)
        similarity = trust.sum(1) + constants.mu * near.sum(1)
        matches = (apart <= limit).sum(1)
        return np.asarray((similarity > constants.gamma) | (matches >= constants.matches))

    # Joints under the threshold are the only ones whose scores count, and do not by distance.
    unsure = others[..., 2] < constants.min_score
    similarity = np.zeros(len(others))
    for part in (_TRUNK, FACE, HANDS):
        near = np.exp(-apart[:, part.joints] / (constants.delta2 * part.reach))
        near = (near * ~unsure[:, part.joints]).mean(1)
        sure = (trust * unsure)[:, part.joints].mean(1)
        similarity += part.score_weight * sure + constants.mu * part.distance_weight * near
    # AlphaPose divides by the sure joints of the reference once for each pose still there.
    sure_joints = len(others) * (pose[:, 2] > constants.min_score / 2).sum()
    close = sum((apart[:, part] <= limit * reach_of).sum(1) for part, reach_of in _MATCH_PARTS)
    matches = np.asarray(close) * len(pose) / (4 * max(sure_joints, 1)) * (sure_joints > 0)
    return np.asarray((similarity > constants.gamma) | (matches >= constants.matches))


def _merge(pose: Floats, group: Floats, reach: float) -> Floats:
    """Mean of the group's joints (G, K, 3) near this pose's (K, 3), weighted by score."""
    near = np.linalg.norm(group[..., :2] - pose[:, :2], axis=-1) <= reach
    weight = group[..., 2] * near  # of the pose itself never 0
    return np.asarray((group * (weight / weight.sum(0))[..., None]).sum(0))
