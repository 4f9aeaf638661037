"""From raw key points to what a network should see: gaps, noise, place, size, view, time.

Everything here is NumPy alone (Savitzky-Golay: SciPy) on arrays of key points (..., T, V, C) and
scores (..., T, V), so that training and the running recogniser do the very same.

A joint that was not seen is never at the origin: `fill_gaps` puts it where it is likely, and its
score stays low, so that a network can tell what is known from what is guessed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.errors import InputError, UnknownNameError
from keyact.sequences.skeleton import Skeleton
from keyact.sequences.smooth import one_euro, savgol

Smooth = Literal["none", "one-euro", "savgol"]
Centre = Literal["none", "frame", "clip"]
Scale = Literal["none", "torso", "body", "box"]
Points = NDArray[np.float32]

_TINY = 1e-6
_FORESHORTENED = 0.35  # torso over body size: below, the trunk points at the camera


@dataclass(frozen=True)
class Preprocess:
    """How key points are prepared; the metadata of a network holds it.

    Attributes
    ----------
    min_score : joints with at most this score count as not seen.
    smooth : ``one-euro`` (Casiez, Roussel and Vogel, CHI 2012: causal, as in a stream),
        ``savgol`` (Savitzky-Golay: sees the future) or ``none``.
    centre : what is moved to the origin: the middle of the body in each ``frame``, its mean over
        the ``clip``, which keeps the path of the person, or ``none``.
    scale : what becomes 1, one number per clip: the ``torso`` from hips to shoulders, the
        root-mean-square distance of the joints from the middle (``body``), the longer side of
        the ``box`` round all frames, or ``none``.
    view : turn 3D key points so that the person faces the same way, upright.
    """

    min_score: float = 0.0
    smooth: Smooth = "none"
    centre: Centre = "clip"
    scale: Scale = "body"
    view: bool = False

    def __post_init__(self) -> None:
        for name, known in (("smooth", Smooth), ("centre", Centre), ("scale", Scale)):
            if getattr(self, name) not in get_args(known):
                raise UnknownNameError(name, str(getattr(self, name)), get_args(known))

    def __call__(
        self, keypoints: ArrayLike, scores: ArrayLike, skeleton: Skeleton, fps: float | None = None
    ) -> tuple[Points, Points]:
        """Key points (..., T, V, C) and scores (..., T, V), prepared: `clean`, then `place`."""
        points, seen = self.clean(keypoints, scores, skeleton, fps)
        return self.place(points, skeleton), seen

    def clean(
        self, keypoints: ArrayLike, scores: ArrayLike, skeleton: Skeleton, fps: float | None = None
    ) -> tuple[Points, Points]:
        """Gaps filled and noise smoothed, still where the person is: at the clip's own rate.

        ``fps`` is what One-Euro's speeds are measured by; 30 when it is not known.
        """
        points = np.asarray(keypoints, np.float32)
        seen = np.asarray(scores, np.float32)
        seen = np.where(seen > self.min_score, seen, 0).astype(np.float32)
        points = fill_gaps(points, seen, skeleton)
        if self.smooth == "one-euro":
            points = one_euro(points, fps or 30.0, scale=_size(points))
        elif self.smooth == "savgol":
            points = savgol(points)
        return points, seen

    def place(self, keypoints: Points, skeleton: Skeleton) -> Points:
        """Moved, scaled and turned: of the part of the clip that the network is to see."""
        points = normalise(keypoints, skeleton, self.centre, self.scale)
        return align_view(points, skeleton) if self.view and points.shape[-1] == 3 else points

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Preprocess:
        """Back from `to_dict`; what is missing has its default.

        Raises
        ------
        UnknownNameError : an option or choice that there is not.
        InputError : a value of another type.
        """
        known = {field.name: type(field.default) for field in fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise UnknownNameError("preprocessing option", name, known)
            right = isinstance(value, known[name]) or (
                known[name] is float and isinstance(value, int) and not isinstance(value, bool)
            )
            if not right:
                raise InputError(f"preprocessing option {name}: {value!r}")
        return cls(**data)


def fill_gaps(keypoints: Points, scores: Points, skeleton: Skeleton) -> Points:
    """Place joints of score 0 where they are likely.

    Between two frames in which a joint is seen it moves on a straight line, relative to the
    middle of what is seen of the person; before the first and after the last it keeps its place
    there. A joint that is never seen stands with the nearest joint on its limb that is.

    Parameters
    ----------
    keypoints : (..., T, V, C).
    scores : (..., T, V), 0 where a joint is not known.

    Returns
    -------
    (..., T, V, C); all zeros only when nothing was seen at all.
    """
    shape = keypoints.shape
    points = np.array(keypoints, np.float32).reshape(-1, *shape[-3:])
    seen = (np.asarray(scores) > 0).reshape(-1, *shape[-3:-1])
    for person, known in zip(points, seen, strict=True):
        if known.all():
            continue
        if not known.any():
            person[:] = 0
            continue
        middle = _middle(person, known)
        person -= middle[:, None]
        frames = np.arange(len(person))
        for joint in np.flatnonzero(~known.all(0) & known.any(0)):
            at = np.flatnonzero(known[:, joint])
            for axis in range(shape[-1]):
                person[:, joint, axis] = np.interp(frames, at, person[at, joint, axis])
        _place_never_seen(person, known.any(0), skeleton)
        person += middle[:, None]
    return points.reshape(shape)


def normalise(
    keypoints: Points, skeleton: Skeleton, centre: Centre = "clip", scale: Scale = "body"
) -> Points:
    """Move and scale clips (..., T, V, C), all joints placed; see `Preprocess`.

    Sizes are medians over the frames, so that a few frames in which the body is bent or badly
    seen do not count. A trunk that points at the camera is no measure: the body is taken instead.
    """
    middle = centre_of(keypoints, skeleton)
    size = _scale(keypoints, middle, skeleton, scale)
    if centre == "frame":
        moved = keypoints - middle[..., None, :]
    elif centre == "clip":
        moved = keypoints - middle.mean(-2, keepdims=True)[..., None, :]
    else:
        moved = keypoints
    return np.asarray(moved / np.maximum(size, _TINY)[..., None, None, None], np.float32)


def centre_of(keypoints: Points, skeleton: Skeleton) -> Points:
    """(..., T, C) middle of the body: of the hips, or of all joints where they are not known."""
    joints = list(skeleton.centre) or slice(None)
    return np.asarray(keypoints[..., joints, :].mean(-2), np.float32)


def align_view(keypoints: Points, skeleton: Skeleton) -> Points:
    """Turn 3D clips so that the trunk points along y and the shoulders and hips along x.

    One rotation per clip, about the origin, from the mean directions. A skeleton whose sides
    or trunk are not known, or whose trunk has no direction, is left as it is.
    """
    if not skeleton.top or not skeleton.sides:
        return keypoints
    trunk = keypoints[..., list(skeleton.top), :].mean(-2) - centre_of(keypoints, skeleton)
    left, right = (list(side) for side in zip(*skeleton.sides, strict=True))
    wide = (keypoints[..., right, :] - keypoints[..., left, :]).mean(-2)
    up = _unit(trunk.mean(-2))
    across = wide.mean(-2)
    across = _unit(across - (across * up).sum(-1, keepdims=True) * up)
    axes = np.stack([across, up, np.cross(across, up)], -2)  # rows are the new axes
    known = (np.linalg.norm(up, axis=-1) > 0.5) & (np.linalg.norm(across, axis=-1) > 0.5)
    axes = np.where(known[..., None, None], axes, np.eye(3))
    return np.asarray(np.einsum("...tvc,...dc->...tvd", keypoints, axes), np.float32)


def resample(values: ArrayLike, positions: ArrayLike, axis: int = 0) -> NDArray[np.float32]:
    """Values between frames, on straight lines.

    Parameters
    ----------
    values : array with frames along ``axis``.
    positions : (P,) frame numbers, not only whole ones; outside, the first or last frame holds.
    """
    array = np.moveaxis(np.asarray(values, np.float32), axis, 0)
    at = np.clip(np.asarray(positions, np.float64), 0, len(array) - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(array) - 1)
    part = (at - low).astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
    between = array[low] * (1 - part) + array[high] * part
    return np.asarray(np.moveaxis(between, 0, axis), np.float32)


def windows(length: int, size: int, stride: int) -> list[int]:
    """First frames of windows of ``size`` frames over ``length``; the last ends with the clip.

    A clip shorter than a window has one, from 0: its last frame is held.
    """
    if size < 1 or stride < 1:
        raise ValueError(f"size and stride are at least 1, got {size} and {stride}")
    last = max(length - size, 0)
    starts = list(range(0, last + 1, stride))
    return starts if starts[-1] == last else [*starts, last]


def _place_never_seen(person: Points, ever: NDArray[np.bool_], skeleton: Skeleton) -> None:
    if ever.all():
        return
    hops = skeleton.hops
    for joint in np.flatnonzero(~ever):
        near = np.where(ever, hops[joint], np.inf)
        if np.isfinite(near.min()):
            person[:, joint] = person[:, np.flatnonzero(near == near.min())].mean(1)
        else:
            person[:, joint] = 0  # the middle, which is subtracted here


def _middle(person: Points, known: NDArray[np.bool_]) -> Points:
    """(T, C) mean of the joints seen, on straight lines through frames without any."""
    count = known.sum(1)
    total = (person * known[..., None]).sum(1)
    at = np.flatnonzero(count)
    mean = total[at] / count[at, None]
    frames = np.arange(len(person))
    return np.stack([np.interp(frames, at, column) for column in mean.T], 1).astype(np.float32)


def _scale(keypoints: Points, middle: Points, skeleton: Skeleton, scale: Scale) -> Points:
    """(...) one size per clip."""
    if scale == "none":
        return np.ones(keypoints.shape[:-3], np.float32)
    if scale == "box":
        extent = keypoints.max((-3, -2)) - keypoints.min((-3, -2))
        return np.asarray(extent.max(-1), np.float32)
    away = np.linalg.norm(keypoints - middle[..., None, :], axis=-1)
    body = np.asarray(np.median(np.sqrt((away**2).mean(-1)), -1), np.float32)
    if scale == "body" or not skeleton.top:
        return body
    top = keypoints[..., list(skeleton.top), :].mean(-2)
    torso = np.median(np.linalg.norm(top - middle, axis=-1), -1)
    return np.where(torso > _FORESHORTENED * body, torso, body).astype(np.float32)


def _size(keypoints: Points) -> Points:
    """(...) root-mean-square spread of the joints, for filters that work in body sizes."""
    return np.asarray(np.median(keypoints.std(-2).mean(-1), -1), np.float32)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > _TINY, vectors / np.maximum(length, _TINY), 0)
