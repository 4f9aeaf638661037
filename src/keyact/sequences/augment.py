"""Random changes of placed clips that leave the action what it is.

On batches of key points (N, M, T, V, D) as `keyact.sequences.features.Features.place` gives them,
the body about the origin and of about unit size, with scores (N, M, T, V): between place and
encode. The random generator is the caller's, so that a seed repeats everything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError, UnknownNameError
from keyact.sequences.features import Span
from keyact.sequences.preprocess import fill_gaps, resample
from keyact.sequences.skeleton import Skeleton

Array = NDArray[np.float32]
Random = np.random.Generator


@dataclass(frozen=True)
class Augment:
    """How much is changed; 0 (``crop``: 1) is not at all.

    Attributes
    ----------
    flip : chance of the mirror image, left and right joints swapped; only where the skeleton
        knows its sides. Leave it out where left and right make the action.
    rotate : degrees, at most: in the plane in 2D, about the vertical axis y in 3D.
    tilt : degrees, at most, about the two other axes in 3D.
    scale : how much bigger or smaller each axis at most: 0.1 is 10 %.
    shear : how far an axis leans at most, as a tangent.
    jitter : standard deviation of the noise of each joint and frame, in body sizes.
    joint_drop : chance of each joint not to be seen in the clip.
    frame_drop : chance of each frame not to be seen.
    crop : the shortest part of the clip's frames to take.
    speed : how unevenly the clip may be played: the deviation of the logarithm of the power
        that time is raised to.
    """

    flip: float = 0.5
    rotate: float = 15.0
    tilt: float = 5.0
    scale: float = 0.1
    shear: float = 0.1
    jitter: float = 0.01
    joint_drop: float = 0.02
    frame_drop: float = 0.02
    crop: float = 0.7
    speed: float = 0.15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= (180 if field.name in ("rotate", "tilt") else 1):
                raise InputError(f"augmentation {field.name} is out of range: {value}")
        if self.crop == 0:
            raise InputError("augmentation crop is above 0: 1 takes whole clips")

    def span(self, length: int, rng: Random) -> Span:
        """Part of a clip of ``length`` frames."""
        size = (length - 1) * rng.uniform(self.crop, 1)
        start = rng.uniform(0, length - 1 - size)
        return start, start + size

    def __call__(
        self, points: Array, scores: Array, skeleton: Skeleton, rng: Random
    ) -> tuple[Array, Array]:
        """Changed copies of points (N, M, T, V, D) and scores (N, M, T, V)."""
        points, scores = np.array(points, np.float32), np.array(scores, np.float32)
        if self.joint_drop or self.frame_drop:
            points, scores = drop(points, scores, skeleton, rng, self.joint_drop, self.frame_drop)
        if self.speed:
            points, scores = warp(points, scores, rng, self.speed)
        if self.flip and skeleton.flip is not None:
            turned = rng.random(len(points)) < self.flip
            points[turned], scores[turned] = flip(points[turned], scores[turned], skeleton)
        maps = self._matrices(len(points), points.shape[-1], rng).astype(np.float32)
        points = np.asarray(points @ maps[:, None, None], np.float32)
        if self.jitter:
            points = points + rng.normal(0, self.jitter, points.shape).astype(np.float32)
        return points, scores

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Augment:
        """Back from `to_dict`; what is missing has its default.

        Raises
        ------
        UnknownNameError, InputError : an option that there is not, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for name, value in data.items():
            if name not in known:
                raise UnknownNameError("augmentation", name, known)
            if not isinstance(value, (int, float)):
                raise InputError(f"augmentation {name}: {value!r} is not a number")
        return cls(**data)

    def _matrices(self, count: int, dims: int, rng: Random) -> NDArray[np.float64]:
        """(N, D, D) linear maps for rows of coordinates."""
        result = np.broadcast_to(np.eye(dims), (count, dims, dims)).copy()
        diagonal = np.arange(dims)
        result[:, diagonal, diagonal] += rng.uniform(-self.scale, self.scale, (count, dims))
        lean = rng.uniform(-self.shear, self.shear, (count, dims, dims))
        lean[:, diagonal, diagonal] = 0
        result += lean
        if dims == 2:
            return result @ _rotation(rng.uniform(-self.rotate, self.rotate, count), 0, 1, 2)
        for limit, first, second in ((self.rotate, 0, 2), (self.tilt, 1, 2), (self.tilt, 0, 1)):
            result = result @ _rotation(rng.uniform(-limit, limit, count), first, second, 3)
        return result


def flip(points: Array, scores: Array, skeleton: Skeleton) -> tuple[Array, Array]:
    """The mirror image: x with the other sign, left and right joints swapped.

    Raises
    ------
    InputError : the skeleton's sides are not known.
    """
    if skeleton.flip is None:
        raise InputError(f"{skeleton.layout}: its left and right are not known")
    order = list(skeleton.flip)
    mirrored = points[..., order, :].copy()
    mirrored[..., 0] *= -1
    return mirrored, scores[..., order]


def drop(
    points: Array,
    scores: Array,
    skeleton: Skeleton,
    rng: Random,
    joints: float = 0.0,
    frames: float = 0.0,
) -> tuple[Array, Array]:
    """Lose joints for whole clips and whole frames, and fill the gaps as for any other.

    Parameters
    ----------
    points, scores : (N, M, T, V, D) and (N, M, T, V).
    joints, frames : chance of each.
    """
    count, _, length, size = scores.shape
    lost = (rng.random((count, 1, 1, size)) < joints) | (rng.random((count, 1, length, 1)) < frames)
    kept = ~np.broadcast_to(lost, scores.shape)
    # A clip of which nothing would be left is kept whole.
    kept = kept | ~(kept & (scores > 0)).any((1, 2, 3), keepdims=True)
    left = np.where(kept, scores, 0).astype(np.float32)
    changed = (left != scores).any((1, 2, 3)).nonzero()[0]
    result = np.array(points, np.float32)
    for clip in changed:
        # Joints of score 0 were placed by the first filling: they count as seen in this one.
        trusted = np.where(kept[clip], np.maximum(scores[clip], 1e-3), 0)
        result[clip] = fill_gaps(points[clip], trusted, skeleton)
    return result, left


def warp(points: Array, scores: Array, rng: Random, speed: float) -> tuple[Array, Array]:
    """Play clips unevenly: slower at one end, faster at the other, whole all the same."""
    length = points.shape[2]
    line = np.linspace(0, 1, length)
    powers = np.exp(rng.normal(0, speed, len(points)))
    result, sure = np.empty_like(points), np.empty_like(scores)
    for clip, power in enumerate(powers):
        at = line**power * (length - 1)
        result[clip] = resample(points[clip], at, axis=1)
        sure[clip] = resample(scores[clip], at, axis=1)
    return result, sure


def _rotation(degrees: NDArray[np.float64], a: int, b: int, dims: int) -> NDArray[np.float64]:
    """(N, D, D) rotations in the plane of two axes."""
    turn = np.radians(degrees)
    result = np.broadcast_to(np.eye(dims), (len(turn), dims, dims)).copy()
    result[:, a, a] = result[:, b, b] = np.cos(turn)
    result[:, a, b], result[:, b, a] = np.sin(turn), -np.sin(turn)
    return result
