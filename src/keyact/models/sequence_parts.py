"""What sequence networks share: the input, its streams, joints on one axis, people apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keyact.errors import InputError
from keyact.sequences import Features, channels

TRAINING: dict[str, Any] = {
    "epochs": 30,
    "rate": 2e-3,
    "weight_decay": 0.02,
    "warmup_steps": 100,
    "ema": 0.99,
    "precision": "float32",  # they are small: nothing is gained by less
    "weights": None,
}
"""Settings that sequence networks train best with."""

MOMENTUM = 0.9  # of batch norms: their statistics keep up with averaged weights


def clip_input(features: Features) -> Any:
    """``x`` (N, T, V, C), V = people x joints."""
    return keras.Input(features.shape, name="x", dtype="float32")


def chosen(x: Any, features: Features, names: Sequence[str]) -> Any:
    """The channels of some streams.

    Raises
    ------
    InputError : the features lack one of them.
    """
    lacks = [name for name in names if name not in features.streams]
    if lacks:
        raise InputError(
            f"streams {', '.join(features.streams)}: this network also needs {', '.join(lacks)}"
        )
    if tuple(names) == features.streams:
        return x
    places = channels(features.streams, len(features.skeleton), features.dims)
    return Channels([i for name in names for i in range(places[name].start, places[name].stop)])(x)


def flat_joints(x: Any) -> Any:
    """(N, T, V, C) to (N, T, V x C), each number normalised over the training clips."""
    frames, joints, size = x.shape[1:]
    return norm()(layers.Reshape((frames, joints * size))(x))


def one_by_one(x: Any, people: int) -> Any:
    """(N, T, M x V, C) to (N x M, T, V, C), each number normalised over the training clips."""
    frames, joints, size = x.shape[1:]
    x = layers.Reshape((frames, joints, size))(flat_joints(x))
    return x if people == 1 else PeopleApart(people)(x)


def together(x: Any, people: int) -> Any:
    """(N x M, T, V, C) to (N, 2 C): over frames and joints, and the mean of a clip's people.

    Blocks that are added up grow; without the norm logits begin large, and are first unlearnt.
    """
    x = pooled(x, 1, 2)
    return norm()(x if people == 1 else PeopleTogether(people)(x))


def norm() -> layers.Layer:
    return layers.BatchNormalization(momentum=MOMENTUM)


def pooled(x: Any, *axes: int) -> Any:
    """Mean and largest value over some axes, side by side."""
    return layers.Concatenate()([Mean(axes)(x), Largest(axes)(x)])


def classify(x: Any, labels: int, dropout: float) -> Any:
    """Logits (N, labels) of a vector each."""
    return layers.Dense(labels, dtype="float32", name="logits")(layers.Dropout(dropout)(x))


@keras.saving.register_keras_serializable(package="keyact")
class Channels(layers.Layer):
    """Some of the channels, in this order."""

    def __init__(self, places: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.places = [int(place) for place in places]

    def call(self, x: Any) -> Any:
        runs = np.split(self.places, np.flatnonzero(np.diff(self.places) != 1) + 1)
        return ops.concatenate([x[..., int(run[0]) : int(run[-1]) + 1] for run in runs], -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "places": self.places}


@keras.saving.register_keras_serializable(package="keyact")
class Mean(layers.Layer):
    """Mean over some axes."""

    def __init__(self, axes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes = tuple(axes)

    def call(self, x: Any) -> Any:
        return ops.mean(x, self.axes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes}


@keras.saving.register_keras_serializable(package="keyact")
class Largest(Mean):
    """Largest value over some axes."""

    def call(self, x: Any) -> Any:
        return ops.max(x, self.axes)


@keras.saving.register_keras_serializable(package="keyact")
class PeopleApart(layers.Layer):
    """(N, T, M x V, C) to (N x M, T, V, C)."""

    def __init__(self, people: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.people = people

    def call(self, x: Any) -> Any:
        frames, joints, size = x.shape[1:]
        each = ops.reshape(x, (-1, frames, self.people, joints // self.people, size))
        each = ops.transpose(each, (0, 2, 1, 3, 4))
        return ops.reshape(each, (-1, frames, joints // self.people, size))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "people": self.people}


@keras.saving.register_keras_serializable(package="keyact")
class PeopleTogether(PeopleApart):
    """(N x M, C) to (N, C): the mean of each M."""

    def call(self, x: Any) -> Any:
        return ops.mean(ops.reshape(x, (-1, self.people, x.shape[-1])), 1)
