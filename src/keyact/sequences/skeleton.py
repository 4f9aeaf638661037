"""What preprocessing, streams and networks need of a skeleton: who hangs on whom.

For a registered layout it follows from the layout's own file. For joints of an unknown sensor it
is estimated from the data: joints that keep the same distance to each other are bones, so the
bones are the tree with the least varying and shortest edges. Nothing else in keyact depends on
which skeleton it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.layouts import SkeletonLayout, get_layout
from keyact.sequences.sequence import GENERIC, Sequence, layout_size, layouts_of_size

_CENTRES = (("mid_hip",), ("left_hip", "right_hip"), ("spine_mid",))
_TOPS = (("neck",), ("left_shoulder", "right_shoulder"), ("mid_neck",))
_SAMPLES = 200  # sequences that bone lengths are measured on
FITS = 2.0
"""Bones of the right layout are 1 to 1.5 times as long as the shortest tree's."""


@dataclass(frozen=True)
class Skeleton:
    """Bones and landmarks of V joints.

    Attributes
    ----------
    layout : its name, also ``generic-V``.
    edges : pairs of joints that are bones.
    flip : the permutation that swaps left and right; None when the sides are not known.
    centre : joints whose mean is the middle of the body: the hips. Empty: all joints.
    top : joints whose mean is the upper end of the trunk: the shoulders. May be empty.
    """

    layout: str
    edges: tuple[tuple[int, int], ...]
    flip: tuple[int, ...] | None = None
    centre: tuple[int, ...] = ()
    top: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        size = layout_size(self.layout)
        named = [*self.centre, *self.top, *(joint for edge in self.edges for joint in edge)]
        if any(not 0 <= joint < size for joint in named) or (
            self.flip is not None and sorted(self.flip) != list(range(size))
        ):
            raise InputError(f"skeleton {self.layout}: a joint that it does not have")

    def __len__(self) -> int:
        return layout_size(self.layout)

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """Where the tree of bones starts: the centre, or the joint with the most reach."""
        if self.centre:
            return self.centre
        hops = self.hops
        far = np.where(np.isfinite(hops), hops, len(self)).max(1)
        return (int(far.argmin()),)

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """For each joint the neighbours one bone nearer to the roots; none for roots.

        A joint between two sides, such as a head that hangs on both shoulders, has both, so that
        mirroring a person mirrors the bones.
        """
        hops = self._from_roots
        near = self._neighbours
        return tuple(
            tuple(int(k) for k in np.flatnonzero(near[j]) if hops[k] == hops[j] - 1)
            if np.isfinite(hops[j])
            else ()
            for j in range(len(self))
        )

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All joints, parents before children."""
        return tuple(int(j) for j in np.argsort(self._from_roots, kind="stable"))

    @cached_property
    def parent_matrix(self) -> NDArray[np.float32]:
        """(V, V): ``matrix @ joints`` is where each joint's bone starts.

        Rows of joints without a parent give the centre of the body.
        """
        matrix = np.zeros((len(self), len(self)), np.float32)
        for joint, parents in enumerate(self.parents):
            start = parents or self.centre or tuple(range(len(self)))
            matrix[joint, list(start)] = 1 / len(start)
        return matrix

    @cached_property
    def angles(self) -> tuple[tuple[int, int, int], ...]:
        """For each joint ``(a, joint, b)`` whose angle at the joint is measured.

        ``a`` is its first neighbour and ``b`` its last; a joint at the end of a limb has the same
        for both and no angle.
        """
        found = []
        for joint in range(len(self)):
            near = np.flatnonzero(self._neighbours[joint])
            ends = (int(near[0]), int(near[-1])) if len(near) else (joint, joint)
            parents = self.parents[joint]
            children = [int(k) for k in near if k not in parents]
            if parents and children:
                ends = (parents[0], children[0])
            found.append((ends[0], joint, ends[1]))
        return tuple(found)

    @cached_property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """Pairs of shoulders and hips; empty when left and right are not known."""
        if self.flip is None:
            return ()
        trunk = {*self.centre, *self.top}
        pairs = [(joint, other) for joint, other in enumerate(self.flip) if joint < other]
        inner = [pair for pair in pairs if trunk >= {*pair}]
        near = {int(k) for joint in trunk for k in np.flatnonzero(self._neighbours[joint])}
        return tuple(inner or [pair for pair in pairs if near >= {*pair}])

    @cached_property
    def hops(self) -> NDArray[np.float64]:
        """(V, V) number of bones between joints; infinite where none connects them."""
        hops = np.where(self._neighbours, 1.0, np.inf)
        np.fill_diagonal(hops, 0)
        for k in range(len(self)):
            hops = np.minimum(hops, hops[:, k, None] + hops[None, k])
        return hops

    def to_dict(self) -> dict[str, Any]:
        """JSON form, for the metadata of a network."""
        return {
            "layout": self.layout,
            "edges": [list(edge) for edge in self.edges],
            "flip": None if self.flip is None else list(self.flip),
            "centre": list(self.centre),
            "top": list(self.top),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Skeleton:
        """Back from `to_dict`.

        Raises
        ------
        InputError : it is something else.
        """
        try:
            return cls(
                str(data["layout"]),
                tuple((int(a), int(b)) for a, b in data["edges"]),
                None if data["flip"] is None else tuple(int(joint) for joint in data["flip"]),
                tuple(int(joint) for joint in data["centre"]),
                tuple(int(joint) for joint in data["top"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a skeleton: {error!r}") from None

    @cached_property
    def _neighbours(self) -> NDArray[np.bool_]:
        near = np.zeros((len(self), len(self)), bool)
        for a, b in self.edges:
            near[a, b] = near[b, a] = a != b
        return near

    @cached_property
    def _from_roots(self) -> NDArray[np.float64]:
        nearest: NDArray[np.float64] = self.hops[list(self.roots)].min(0)
        return nearest


@cache
def known_skeleton(layout: str) -> Skeleton:
    """The skeleton of a registered layout.

    Raises
    ------
    UnknownNameError : there is none; `skeleton_of` estimates those of ``generic-V``.
    """
    entry = get_layout(layout)
    order = None
    if entry.pairs:
        order = tuple(int(joint) for joint in entry.flip)
    return Skeleton(layout, entry.edges, order, _first(entry, _CENTRES), _first(entry, _TOPS))


def skeleton_of(sequences: Sequence | Iterable[Sequence]) -> Skeleton:
    """The one skeleton of some sequences, estimated when their layout is not registered.

    Raises
    ------
    InputError : no sequence, or different layouts.
    """
    listed = [sequences] if isinstance(sequences, Sequence) else list(sequences)
    layouts = sorted({sequence.layout for sequence in listed})
    if len(layouts) != 1:
        raise InputError(
            f"sequences of {len(layouts)} layouts ({', '.join(layouts)}); convert them to one"
            if layouts
            else "no sequence to take a skeleton from"
        )
    if not GENERIC.fullmatch(layouts[0]):
        return known_skeleton(layouts[0])
    centres, spreads = _distances(_joints(listed))
    # A bone keeps its length, which tells the elbow of the wrist; two joints of different people
    # of the same length happen to be near only for a while.
    return Skeleton(layouts[0], tuple(_shortest_tree(centres + 2 * spreads)))


def guess_layout(keypoints: NDArray[np.floating], candidates: Iterable[str] | None = None) -> str:
    """The registered layout that V joints are of, told by where they are to each other.

    Bones of the right layout are short; with joints in another order they run across the body.

    Parameters
    ----------
    keypoints : (..., V, C); what is not finite or at the origin is left out.
    candidates : layouts to choose from, by default all of V joints.

    Returns
    -------
    The layout of the shortest bones, or ``generic-V`` when none comes near the shortest tree.
    """
    joints = int(keypoints.shape[-2])
    names = layouts_of_size(joints) if candidates is None else list(candidates)
    fits = {name: fit(keypoints, known_skeleton(name)) for name in names}
    best = min(fits, key=lambda name: fits[name], default=None)
    return best if best is not None and fits[best] <= FITS else f"generic-{joints}"


def fit(keypoints: NDArray[np.floating], skeleton: Skeleton) -> float:
    """How much longer the skeleton's mean bone is than that of the shortest tree; 1 is best."""
    points = np.asarray(keypoints, np.float64).reshape(-1, *keypoints.shape[-2:])
    if not skeleton.edges:
        return float("inf")
    distances, _ = _distances(points[:: max(1, len(points) // 2000)])
    shortest = np.mean([distances[edge] for edge in _shortest_tree(distances)])
    return float(np.mean([distances[edge] for edge in skeleton.edges]) / max(shortest, 1e-9))


def _first(layout: SkeletonLayout, choices: tuple[tuple[str, ...], ...]) -> tuple[int, ...]:
    for places in choices:
        if all(place in layout.places for place in places):
            return tuple(layout.places.index(place) for place in places)
    return ()


def _joints(sequences: list[Sequence]) -> NDArray[np.float64]:
    """(N, V, C) frames of some sequences, unknown joints as NaN, each of unit size."""
    frames = []
    for sequence in islice(sequences, 0, None, max(1, len(sequences) // _SAMPLES)):
        points = np.where(sequence.scores[..., None] > 0, sequence.keypoints, np.nan)
        some = points[sequence.mask].astype(np.float64)
        some = some[:: max(1, len(some) // 40)]
        if len(some):
            with np.errstate(invalid="ignore"):
                size = np.nanmean(np.nanstd(some, 1)) if np.isfinite(some).any() else 1.0
            frames.append(some / max(float(np.nan_to_num(size, nan=1.0)), 1e-9))
    if not frames:
        raise InputError("no frame with a person to estimate a skeleton from")
    return np.concatenate(frames)


def _distances(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(V, V) median distance of joints, and its median deviation; far where never seen."""
    points = np.where((points == 0).all(-1, keepdims=True), np.nan, points)
    joints = points.shape[-2]
    centre, spread = np.full((2, joints, joints), np.nan)
    for joint in range(joints):
        away = np.linalg.norm(points - points[:, joint, None], axis=-1)
        seen = np.isfinite(away).any(0)
        if not seen.any():
            continue
        centre[joint, seen] = np.nanmedian(away[:, seen], 0)
        spread[joint, seen] = np.nanmedian(abs(away[:, seen] - centre[joint, seen]), 0)
    far = float(np.nanmax(centre)) * 2 + 1 if np.isfinite(centre).any() else 1.0
    return np.nan_to_num(centre, nan=far), np.nan_to_num(spread, nan=far)


def _shortest_tree(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Prim's minimum spanning tree of a (V, V) cost matrix."""
    size = len(costs)
    inside, edges = {0}, []
    nearest, best = np.zeros(size, int), costs[0].copy()
    for _ in range(size - 1):
        open_joints = [joint for joint in range(size) if joint not in inside]
        joint = min(open_joints, key=lambda j: best[j])
        edges.append((int(nearest[joint]), joint))
        inside.add(joint)
        closer = costs[joint] < best
        nearest[closer], best[closer] = joint, costs[joint][closer]
    return edges
