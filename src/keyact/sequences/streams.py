"""What networks are fed with: views of prepared key points, all of the shape (..., T, V, C).

Every stream has its numbers joint by joint, so that any choice of them is one array, the channels
of the streams side by side:

=============  ===========  =====================================================================
stream         channels     at each joint
=============  ===========  =====================================================================
joint          D            position
bone           D            vector from the joint before it on its limb
joint_motion   D            position in the next frame less that in this; 0 in the last
bone_motion    D            the same of the bone
fast_motion    D            the same of the position over two frames (DD-Net's second speed)
angle          2            sine and cosine of the angle between the two bones at the joint, nearly
                            0 where one has next to no length and 0 at the end of a limb; in 2D the
                            sine has the sign of the turn
jcd            V            distances to all joints (DD-Net: Yang et al., MMAsia 2019)
score          1            how sure the position is
=============  ===========  =====================================================================

Joint, bone and motions are the four streams of 2s-AGCN and its successors (Shi et al., 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keyact.errors import UnknownNameError
from keyact.sequences.skeleton import Skeleton

Array = NDArray[np.float32]

STREAMS = (
    "joint", "bone", "joint_motion", "bone_motion", "fast_motion", "angle", "jcd", "score"
)  # fmt: skip


SHORT = 0.05
"""In body sizes: the direction of a bone of this length is believed by 0.7."""


def stream(name: str, keypoints: Array, scores: Array, skeleton: Skeleton) -> Array:
    """One stream.

    Parameters
    ----------
    name : one of `STREAMS`.
    keypoints : (..., T, V, D), prepared: every joint has a place.
    scores : (..., T, V).

    Returns
    -------
    (..., T, V, C) float32.

    Raises
    ------
    UnknownNameError : no such stream.
    """
    if name == "joint":
        return np.asarray(keypoints, np.float32)
    if name == "bone":
        return _bones(keypoints, skeleton)
    if name == "joint_motion":
        return _motion(keypoints, 1)
    if name == "bone_motion":
        return _motion(_bones(keypoints, skeleton), 1)
    if name == "fast_motion":
        return _motion(keypoints, 2)
    if name == "angle":
        return _angles(keypoints, skeleton)
    if name == "jcd":
        away = keypoints[..., :, None, :] - keypoints[..., None, :, :]
        return np.asarray(np.linalg.norm(away, axis=-1), np.float32)
    if name == "score":
        return np.asarray(scores, np.float32)[..., None]
    raise UnknownNameError("stream", name, STREAMS)


def streams(names: Sequence[str], keypoints: Array, scores: Array, skeleton: Skeleton) -> Array:
    """Several streams, channels side by side: (..., T, V, sum of the channels)."""
    return np.concatenate([stream(name, keypoints, scores, skeleton) for name in names], -1)


def channels(names: Sequence[str], joints: int, dims: int) -> dict[str, slice]:
    """Which channels of `streams` are whose.

    Raises
    ------
    UnknownNameError : no such stream.
    """
    sizes = {"angle": 2, "jcd": joints, "score": 1}
    found, start = {}, 0
    for name in names:
        if name not in STREAMS:
            raise UnknownNameError("stream", name, STREAMS)
        stop = start + sizes.get(name, dims)
        found[name] = slice(start, stop)
        start = stop
    return found


def _bones(keypoints: Array, skeleton: Skeleton) -> Array:
    return np.asarray(keypoints - skeleton.parent_matrix @ keypoints, np.float32)


def _motion(values: Array, step: int) -> Array:
    result = np.zeros_like(values, np.float32)
    if values.shape[-3] > step:
        result[..., :-step, :, :] = values[..., step:, :, :] - values[..., :-step, :, :]
    return result


def _angles(keypoints: Array, skeleton: Skeleton) -> Array:
    first, joint, last = (list(column) for column in zip(*skeleton.angles, strict=True))
    one = _directions(keypoints[..., first, :] - keypoints[..., joint, :])
    two = _directions(keypoints[..., last, :] - keypoints[..., joint, :])
    if keypoints.shape[-1] == 2:
        sine = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
    else:
        sine = np.linalg.norm(np.cross(one, two), axis=-1)
    found = np.stack([sine, (one * two).sum(-1)], -1).astype(np.float32)
    found[..., np.equal(first, last), :] = 0  # ends of limbs have one bone
    return found


def _directions(bones: Array) -> Array:
    """Unit vectors, and the shorter the nearer to 0 where a bone has next to no length.

    Such a bone must not be given a direction by noise: a joint that was not seen lies on the one
    before it.
    """
    return np.asarray(bones / np.sqrt((bones**2).sum(-1, keepdims=True) + SHORT**2), np.float32)
