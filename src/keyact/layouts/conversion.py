"""Conversion of key points from one layout to another.

A target joint is, in this order: the source joint at the same place on the body; the mean of
source joints that bracket the place (``_DERIVED``); missing. Which of the three holds depends on
the two layouts alone, never on the scores, so a converted joint always means the same thing.

Deliberately missing, because no mean comes near: the face from a head centre, the top of the
head, the Kinect v1 ``spine`` (just above the pelvis), fingertips.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.layouts.layout import get_layout

_HIPS = ("left_hip", "right_hip")
_SHOULDERS = ("left_shoulder", "right_shoulder")


def _both_sides(place: str, *choices: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {
        f"{side}_{place}": tuple(tuple(f"{side}_{part}" for part in parts) for parts in choices)
        for side in ("left", "right")
    }


# Place -> alternatives, best first; each alternative is the mean of the places it lists.
_DERIVED: dict[str, tuple[tuple[str, ...], ...]] = {
    "neck": (_SHOULDERS,),  # OpenPose defines its neck so
    "mid_neck": (("neck",), _SHOULDERS),  # Kinect v2's neck sits a few centimetres higher
    "mid_hip": (_HIPS,),
    # A place listed twice weighs twice: the neck counts as much as both hips together.
    "spine_mid": (("neck", "mid_hip"), ("neck", "neck", *_HIPS), (*_SHOULDERS, *_HIPS)),
    "head": (("left_ear", "right_ear"),),  # the ears' midpoint is inside the head's centre
    **_both_sides("hand_wrist", ("wrist",)),
    **_both_sides("hand", ("wrist", "index_1", "pinky_1")),  # palm: wrist and outer knuckles
    **_both_sides("foot", ("foot_index",), ("big_toe", "small_toe")),  # front of the foot
    **_both_sides("foot_index", ("foot",), ("big_toe", "small_toe")),
    **_both_sides("big_toe", ("foot_index",)),
}


def convert(keypoints: ArrayLike, source: str, target: str) -> NDArray[np.float32]:
    """Re-express key points in another skeleton layout.

    Parameters
    ----------
    keypoints : array_like, shape (..., K, 3)
        ``x, y, score`` rows of the source layout, in any coordinate frame; score 0 is missing.
    source, target : str
        Layout names, see :func:`keyact.layouts.layout_names`.

    Returns
    -------
    ndarray, shape (..., K2, 3), float32
        Rows of the target layout. A joint at the same place is copied. A derived joint (neck,
        mid-hip, middle of the spine, centre of the head, hand, front of the foot) is the mean of
        its parts and its score is the lowest of theirs; when a part is missing, or nothing stands
        for the joint, the row is ``0, 0, 0``.

    Raises
    ------
    UnknownNameError
        If a layout does not exist.
    ValueError
        If the array's shape does not fit the source layout.
    """
    points = np.asarray(keypoints, dtype=np.float32)
    size = len(get_layout(source))
    if points.ndim < 2 or points.shape[-2:] != (size, 3):
        raise ValueError(
            f"{source} key points have shape (..., {size}, 3), got {points.shape}; "
            "check the source layout's name"
        )
    if source == target:
        return points.copy()
    result = np.zeros((*points.shape[:-2], len(get_layout(target)), 3), dtype=np.float32)
    for row, parts in _plan(source, target):
        chosen = points[..., list(parts), :]
        score = chosen[..., 2].min(axis=-1)
        present = score > 0
        position = chosen[..., :2].mean(axis=-2)
        result[..., row, :2] = np.where(present[..., None], position, 0)
        result[..., row, 2] = np.where(present, score, 0)
    return result


@cache
def _plan(source: str, target: str) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Target row and the source rows whose mean it is, for every joint that can be had."""
    places = get_layout(source).places
    plan = []
    for row, place in enumerate(get_layout(target).places):
        for parts in ((place,), *_DERIVED.get(place, ())):
            if all(part in places for part in parts):
                plan.append((row, tuple(places.index(part) for part in parts)))
                break
    return tuple(plan)
