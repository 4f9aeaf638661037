"""Parametric pose NMS: one person found twice is given once (Fang et al., RMPE, ICCV 2017).

The distance between a reference pose i and another pose j is the paper's

    K = sum_n tanh(c_i / delta1) tanh(c_j / delta1)   over joints j inside the box of joint i
    H = sum_n exp(-(k_i - k_j)^2 / delta2)
    d = K + mu H,   j is the same person as i when d > eta

with ``c`` the joint scores and the box of a joint 1/10 of the person's box. Poses are
taken as references from the highest score down. The published constants are for 17 joints.

Three choices the paper leaves open are ours:

* ``k`` is measured in `UNIT` of the box's longer side, not in photo pixels, so that a
  duplicate is found at any size of person. The unit is one cell of a 64-row heatmap, the
  resolution at which the pose is known.
* Joints missing in either pose (score 0) are left out and ``eta`` is scaled by the joints
  that remain, also for layouts of other lengths. Under `MIN_COMMON` of them nothing merges.
* Hidden joints of true duplicates scatter, which keeps ``d`` low. So j is also the same
  person when at least `AGREEMENT` of the joints both are sure of lie in each other's boxes.

Of a whole-body layout only the body says who is who: 110 points of face and hands would outvote
it, and two heads cheek to cheek would be one person. `keyact.pose.alphapose.nms` has AlphaPose's
own rule for its networks, with its two sets of constants; `nms_for` chooses.
"""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.layouts import get_layout
from keyact.pose.base import PoseEstimator
from keyact.pose.score import pose_score

# Source of these four: AlphaPose's "Constant Configuration", learnt as in RMPE's section 3.3.
DELTA1 = 1.0
MU = 1.7
DELTA2 = 2.65
ETA = 22.48  # for 17 joints
JOINT_BOX = 0.1  # side of a joint's box over the longer side of the person's box
UNIT = 1.25 / 64  # crop margin over heatmap rows
MIN_COMMON = 5  # the five face joints alone, in a close-up, are still a person
SURE = 0.3  # joint score from which a joint speaks for a match
MAX_BODY = 40  # joints; layouts with more have a face and fingers
AGREEMENT = 0.75  # two heads cheek to cheek share 5 of the 7 joints in sight: .71


class MergedPoses(NamedTuple):
    """Poses that remain, best pose score first.

    keypoints : (M, K, 3) float32, joints merged by confidence.
    kept : (M,) indices of the reference poses in the input.
    """

    keypoints: NDArray[np.float32]
    kept: NDArray[np.intp]


class PoseNms(Protocol):
    """Merges poses that show the same person; `pose_nms` is one."""

    def __call__(
        self, keypoints: ArrayLike, box_scores: ArrayLike, boxes: ArrayLike
    ) -> MergedPoses:
        """Poses (N, K, 3), detector scores (N,) and boxes (N, 4) to the poses that remain."""


def nms_for(estimator: PoseEstimator) -> PoseNms:
    """What a backend's poses are merged by: its own ``suppress``, or `pose_nms` for its layout."""
    own = getattr(estimator, "suppress", None)
    return partial(pose_nms, layout=estimator.layout) if own is None else cast(PoseNms, own)


def pose_nms(
    keypoints: ArrayLike, box_scores: ArrayLike, boxes: ArrayLike, layout: str | None = None
) -> MergedPoses:
    """Merge poses that show the same person.

    A reference and its duplicates are averaged joint by joint, weighted by joint score, over
    the joints that lie in the box of the reference's joint. The result does not depend on the
    order of the input.

    Parameters
    ----------
    keypoints : (N, K, 3) x, y in photo pixels and score; N may be 0.
    box_scores : (N,) detector scores.
    boxes : (N, 4) xyxy in photo pixels.
    layout : skeleton of the poses; None takes every joint for one of the body.
    """
    poses = np.asarray(keypoints, np.float64)
    areas = np.asarray(boxes, np.float64).reshape(-1, 4)
    if len(poses) == 0:
        return MergedPoses(poses.astype(np.float32), np.zeros(0, np.intp))
    scores = pose_score(poses, box_scores)
    longer = np.maximum(areas[:, 2:] - areas[:, :2], 1).max(1)

    order = np.lexsort((*areas.T[::-1], -scores))  # equal scores: by box, whatever the order
    body = slice(None) if layout is None else _body(layout)
    same, inside = _compare(poses[order], longer[order], body)
    free = np.ones(len(poses), bool)
    merged, kept = [], []
    for i in range(len(order)):
        if not free[i]:
            continue
        group = free & same[i]
        group[i] = True
        free &= ~group
        merged.append(_merge(poses[order[group]], inside[i, group], poses[order[i]]))
        kept.append(order[i])
    return MergedPoses(np.stack(merged).astype(np.float32), np.array(kept, np.intp))


@cache
def _body(layout: str) -> slice | list[int]:
    """Joints that are neither of the face nor of the hands, in layouts that have both to excess."""
    places = get_layout(layout).places
    if len(places) <= MAX_BODY:
        return slice(None)
    body = set(get_layout("halpe26").places)
    return [joint for joint, place in enumerate(places) if place in body]


def _compare(
    poses: NDArray[np.float64], longer: NDArray[np.float64], body: slice | list[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """same (N, N): row pose and column pose are one person; inside (N, N, K) per joint."""
    joints, score = poses[..., :2], poses[..., 2]
    apart = np.abs(joints[:, None] - joints[None]) / longer[:, None, None, None]
    present = score > 0
    common = present[:, None] & present[None]
    every_inside = common & (apart.max(-1) <= JOINT_BOX / 2)
    apart, score = apart[:, :, body], score[:, body]
    common, inside = common[:, :, body], every_inside[:, :, body]

    trust = np.tanh(score / DELTA1)
    k_sim = (trust[:, None] * trust[None] * inside).sum(-1)
    squared = (apart**2).sum(-1) / UNIT**2
    h_sim = (np.exp(-squared / DELTA2) * common).sum(-1)
    count = common.sum(-1)
    close = k_sim + MU * h_sim > ETA * count / 17

    sure = score >= SURE
    both_sure = sure[:, None] & sure[None]
    n_sure = both_sure.sum(-1)
    agree = (n_sure >= MIN_COMMON) & ((inside & both_sure).sum(-1) >= AGREEMENT * n_sure)
    return (count >= MIN_COMMON) & (close | agree), every_inside


def _merge(
    group: NDArray[np.float64], inside: NDArray[np.bool_], reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the group's joints (G, K, 3) weighted by score; unmatched joints stay."""
    weight = group[..., 2:] * inside[..., None]
    total = weight.sum(0)
    mean = (group * weight).sum(0) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, reference)
