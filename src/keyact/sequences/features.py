"""From a sequence to the input of a sequence network: one recipe for training and running.

The convention of every sequence network in keyact, as an ONNX file:

* input ``x`` float32 (N, T, V, C), output ``logits`` (N, labels); both batches free.
* T = ``frames`` evenly spaced frames of a clip or window; V joints of ``skeleton``, of ``people``
  people one after the other (V = people x joints, mostly 1 x joints); C the channels of
  ``streams`` side by side (`keyact.sequences.streams.channels` says which are whose).
* with ``glances``, a photo network's vectors (T, D) of what the frames show of the person, V is 1
  and C is all of a frame: V x C numbers of the joints, then D.
* metadata: ``"kind": "sequence"``, ``name``, ``labels``, ``temperature``, ``unknown_threshold``,
  ``features`` (`Features.to_dict`), ``stride`` and ``seen_score``; what they are stands in
  `keyact.action.temporal`, which runs the network.
* nothing else is in the network's way: all preprocessing is what `Features` does.

The chain is clean (gaps, smoothing, at the clip's rate), cut (T frames of a span), place (centre,
scale, view of that span), encode (streams). Augmentation goes between place and encode.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.errors import InputError
from keyact.sequences.glances import Glances
from keyact.sequences.preprocess import Points, Preprocess, resample
from keyact.sequences.sequence import MAX_PEOPLE, Sequence
from keyact.sequences.skeleton import Skeleton
from keyact.sequences.streams import channels, streams

Span = tuple[float, float]
"""First and last frame of a part of a clip, fractions allowed."""

MAX_NETWORK_FRAMES = 4096
MAX_GLANCE = 65_536


@dataclass(frozen=True)
class Features:
    """What a sequence network sees.

    Attributes
    ----------
    skeleton : of the joints.
    dims : 2 or 3 coordinates.
    frames : T.
    streams : see `keyact.sequences.streams`.
    preprocess : see `keyact.sequences.preprocess`.
    people : M; of a sequence with more, those seen most surely.
    fps : frames per second that the T frames stand for in a running video, so that a window
        lasts ``frames / fps`` seconds. In training a whole clip is squeezed into T frames, so it
        is T over the seconds of a typical clip.
    glances : D, the numbers of a `keyact.sequences.glances.Glances`; 0 for key points alone.
    """

    skeleton: Skeleton
    dims: int = 2
    frames: int = 64
    streams: tuple[str, ...] = ("joint", "bone", "joint_motion", "bone_motion", "score")
    preprocess: Preprocess = field(default_factory=Preprocess)
    people: int = 1
    fps: float = 30.0
    glances: int = 0

    def __post_init__(self) -> None:
        if not (
            self.dims in (2, 3)
            and 1 <= self.frames <= MAX_NETWORK_FRAMES
            and 1 <= self.people <= MAX_PEOPLE
            and 0 < self.fps < 1e4
            and 0 <= self.glances <= MAX_GLANCE
            and self.streams
        ):
            raise InputError(
                f"features out of range: {self.dims}D, {self.frames} frames, {self.people} "
                f"people, {self.fps} fps, streams {self.streams}, {self.glances} of a glance"
            )
        channels(self.streams, len(self.skeleton), self.dims)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, V, C) of the network's input."""
        frames, joints, size = self.joint_shape
        return (frames, 1, joints * size + self.glances) if self.glances else (frames, joints, size)

    @property
    def joint_shape(self) -> tuple[int, int, int]:
        """(T, V, C) of the joints alone."""
        joints = len(self.skeleton)
        last = list(channels(self.streams, joints, self.dims).values())[-1].stop
        return self.frames, self.people * joints, int(last)

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.frames / self.fps

    def __call__(self, sequence: Sequence, spans: Listed[Span] | None = None) -> Points:
        """(N, T, V, C): one input for each span, by default one of the whole sequence.

        Raises
        ------
        InputError : the sequence is of another skeleton or number of coordinates.
        """
        points, scores = self.clean(sequence)
        chosen = spans or [(0, len(sequence) - 1)]
        cut = [self.cut(points, scores, span) for span in chosen]
        part = np.stack([points for points, _ in cut])
        encoded = self.encode(self.place(part), np.stack([scores for _, scores in cut]))
        return self.join(encoded, [self.glanced(sequence.glances, span) for span in chosen])

    def clean(self, sequence: Sequence) -> tuple[Points, Points]:
        """Key points (M, L, V, D) and scores (M, L, V) at the sequence's own rate."""
        if sequence.dims != self.dims:
            raise InputError(
                f"{sequence.name}: key points are {sequence.dims}D, the network takes {self.dims}D"
            )
        if sequence.layout != self.skeleton.layout:
            if "generic-" in sequence.layout + self.skeleton.layout:
                raise InputError(
                    f"{sequence.name}: is of layout {sequence.layout}, the network takes "
                    f"{self.skeleton.layout}, and nothing is known of how they relate"
                )
            sequence = sequence.to_layout(self.skeleton.layout)
        best = sequence.best(self.people)
        return self.preprocess.clean(best.keypoints, best.scores, self.skeleton, best.fps)

    def cut(self, points: Points, scores: Points, span: Span) -> tuple[Points, Points]:
        """T frames of a span: (M, T, V, D) and (M, T, V)."""
        return self.cut_at(points, scores, np.linspace(span[0], span[1], self.frames))

    def cut_at(self, points: Points, scores: Points, at: ArrayLike) -> tuple[Points, Points]:
        """The same at frames (T,) of one's own choice, fractions allowed."""
        return resample(points, at, axis=-3), resample(scores, at, axis=-2)

    def glanced(self, glances: Glances | None, span: Span) -> Points:
        """(T, D) what was seen at the frames of a span; zeros where nothing was looked at.

        Raises
        ------
        InputError : glances of another network.
        """
        if glances is None or not self.glances:
            return np.zeros((self.frames, self.glances), np.float32)
        if glances.width != self.glances:
            raise InputError(
                f"glances of {glances.width} numbers, the network takes {self.glances}"
            )
        return glances(np.linspace(span[0], span[1], self.frames))

    def join(self, encoded: Points, glances: ArrayLike) -> Points:
        """Input (..., T, V, C) of joints (..., T, V, C) and glances (..., T, D)."""
        if not self.glances:
            return encoded
        flat = encoded.reshape(*encoded.shape[:-2], 1, -1)
        return np.concatenate([flat, np.asarray(glances, np.float32)[..., None, :]], -1)

    def place(self, points: Points) -> Points:
        """(..., M, T, V, D) centred and scaled; people keep their places to each other."""
        if self.people == 1:
            return self.preprocess.place(points, self.skeleton)
        # People of a scene are moved and scaled together, by the first.
        first = self.preprocess.place(points[..., :1, :, :, :], self.skeleton)
        return _like(points, points[..., :1, :, :, :], first)

    def encode(self, points: Points, scores: Points) -> Points:
        """(..., M, T, V, D) and scores to (..., T, M x V, C)."""
        each = streams(self.streams, points, scores, self.skeleton)
        side_by_side = np.moveaxis(each, -4, -3)
        return np.ascontiguousarray(
            side_by_side.reshape(*side_by_side.shape[:-3], -1, side_by_side.shape[-1])
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form, for the metadata of a network."""
        return {
            "skeleton": self.skeleton.to_dict(),
            "dims": self.dims,
            "frames": self.frames,
            "streams": list(self.streams),
            "preprocess": self.preprocess.to_dict(),
            "people": self.people,
            "fps": self.fps,
            **({"glances": self.glances} if self.glances else {}),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Features:
        """Back from `to_dict`.

        Raises
        ------
        InputError, UnknownNameError : it is something else.
        """
        try:
            return cls(
                Skeleton.from_dict(data["skeleton"]),
                int(data["dims"]),
                int(data["frames"]),
                tuple(str(name) for name in data["streams"]),
                Preprocess.from_dict(data["preprocess"]),
                int(data.get("people", 1)),
                float(data["fps"]),
                int(data.get("glances", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not the features of a sequence network: {error!r}") from None


def clip_spans(length: int, count: int = 1, fraction: float = 1.0) -> list[Span]:
    """``count`` spans of a part of a clip's frames, evenly spread: for multi-clip testing."""
    if count < 1 or not 0 < fraction <= 1:
        raise ValueError(f"count is at least 1, fraction in (0, 1]; got {count}, {fraction}")
    size = (length - 1) * fraction
    return [(start, start + size) for start in np.linspace(0, length - 1 - size, count).tolist()]


def _like(points: Points, before: Points, after: Points) -> Points:
    """Apply to all people the similarity that took ``before`` to ``after`` (..., 1, T, V, D).

    It is linear in the coordinates and may differ per frame in its offset alone, so it is found
    from the first person: least squares on the joints about their mean.
    """
    mean_before = before.mean(-2, keepdims=True)
    mean_after = after.mean(-2, keepdims=True)
    source = (before - mean_before).reshape(*before.shape[:-4], -1, before.shape[-1])
    target = (after - mean_after).reshape(*source.shape)
    matrix = np.linalg.pinv(source.astype(np.float64)) @ target.astype(np.float64)
    moved = (points - mean_before).astype(np.float64) @ matrix[..., None, None, :, :]
    result: NDArray[np.float32] = (moved + mean_after).astype(np.float32)
    return result
