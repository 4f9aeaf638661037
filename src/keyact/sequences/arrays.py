"""Which axis of an array is what, and whose skeleton its joints are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.layouts import layout_names
from keyact.sequences.sequence import layout_size
from keyact.sequences.skeleton import FITS, fit, guess_layout, known_skeleton

_JOINTS = {layout_size(name) for name in layout_names()} | {14, 15, 16, 19, 21, 22}

# Orders in which data sets store the joints of a registered layout, as rows of the file.
_ORDERS = {
    # UTD-MHAD: head, shoulder centre, spine and hip centre first.
    "kinect20": ((3, 2, 1, 0, *range(4, 20)),),
}

# Where people, frames, joints and coordinates are: (M, T, V, C), ST-GCN's (C, T, V, M), and
# (V, C, T, M) and (T, V, C, M) of MATLAB files.
_WITH_PEOPLE = ((0, 1, 2, 3), (3, 1, 2, 0), (3, 2, 0, 1), (3, 0, 1, 2))


def as_sequence_axes(
    values: NDArray[np.float64], where: str, layout: str | None = None
) -> NDArray[np.float64]:
    """(M, T, V, C) from an array with the same axes in another order, M perhaps left out.

    Coordinates are the axis of length 2 or 3, joints the one of a number that skeletons have; if
    both others could be, frames come first in (T, V, C), and in any other order are the axis along
    which the numbers change less.

    Raises
    ------
    InputError : no axis can be the coordinates.
    """
    wanted = {layout_size(layout)} if layout else _JOINTS
    if values.ndim == 2 and values.shape[0] in wanted and values.shape[1] in (2, 3):
        values = values[None]  # one frame, of which MATLAB drops the axis
    if values.ndim == 2:  # (T, V * C): a row per frame
        values = _columns(values, where, wanted)
    if values.ndim == 4:
        orders = [order for order in _WITH_PEOPLE if values.shape[order[3]] in (2, 3)]
        if not orders:
            raise InputError(f"{where}: no axis of {values.shape} holds 2 or 3 coordinates")
        by_joints = (order for order in orders if values.shape[order[2]] in wanted)
        return values.transpose(next(by_joints, orders[0]))
    if values.ndim != 3:
        raise InputError(f"{where}: shape {values.shape} is not frames, joints and coordinates")
    found = [axis for axis in (2, 1, 0) if values.shape[axis] in (2, 3)]
    if not found:
        raise InputError(f"{where}: no axis of {values.shape} holds 2 or 3 coordinates")
    coordinates = found[0]
    if len(found) > 1:  # so few frames that their axis could be the coordinates
        usual = {1: 2, 0: 1, 2: 0}  # joints in (T, V, C), (V, C, T) and (C, T, V)
        told = (c for j, c in usual.items() if values.shape[j] in wanted and c in found)
        coordinates = next(told, coordinates)
    first, second = (axis for axis in range(3) if axis != coordinates)
    is_joints = {axis: values.shape[axis] in wanted for axis in (first, second)}
    if is_joints[first] != is_joints[second]:
        joints = first if is_joints[first] else second
    elif coordinates == 2:  # (T, V, C), as nearly everyone has it
        joints = second
    else:  # from joint to joint it is further than from frame to frame
        steps = [
            np.nansum(abs(np.diff(values, axis=axis))) / max(values.shape[axis] - 1, 1)
            for axis in (first, second)
        ]
        joints = first if steps[0] > steps[1] else second
    frames = first + second - joints
    return values.transpose(frames, joints, coordinates)[None]


def in_layout(
    points: NDArray[np.float64], layout: str | None = None
) -> tuple[NDArray[np.float64], str]:
    """The joints (..., V, C) in the order of a registered layout, and its name.

    When the layout is not given it is the one whose bones are short: see
    `keyact.sequences.skeleton.guess_layout`. Known other orders of the joints are tried as well.
    """
    known = [layout] if layout else [n for n in _ORDERS if layout_size(n) == points.shape[-2]]
    for name in known:
        if name not in _ORDERS or layout_size(name) != points.shape[-2]:
            continue
        skeleton = known_skeleton(name)
        plain = fit(points, skeleton)
        for order in _ORDERS[name]:
            turned = points[..., list(order), :]
            better = fit(turned, skeleton)
            if better < plain and (layout is not None or better <= FITS):
                return turned, name
    return points, layout or guess_layout(points)


def seen_scores(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """(M, T, V): 0 where a sensor wrote nothing, which is no number or the origin, else 1.

    A joint that is at the origin in every frame, and the others around it, is not missing: the
    others are given from it.
    """
    at_origin = (points == 0).all(-1)
    absent = at_origin.all(-1, keepdims=True)
    always = at_origin.all((0, 1))
    root = always & _surround_origin(points[..., ~always, :])
    nothing = at_origin & ~root | absent
    return np.asarray(np.isfinite(points).all(-1) & ~nothing, np.float32)


def _surround_origin(points: NDArray[np.float64]) -> bool:
    """Whether the origin lies among the joints (M, T, V, C) in most frames."""
    rows = points.reshape(-1, *points.shape[2:])
    rows = rows[np.isfinite(rows).all((1, 2)) & (rows != 0).any((1, 2))]
    if not rows.size:
        return False
    return bool(((rows.min(1) <= 0) & (rows.max(1) >= 0)).all(-1).mean() > 0.5)


def _columns(values: NDArray[np.float64], where: str, wanted: set[int]) -> NDArray[np.float64]:
    for dims in (3, 2):
        joints, rest = divmod(values.shape[1], dims)
        if not rest and joints in wanted:
            return values.reshape(len(values), joints, dims)
    raise InputError(f"{where}: {values.shape[1]} columns are not 2 or 3 for each joint")
