"""ctrgcn: graphs refined channel by channel and clip by clip (CTR-GCN; Chen et al., ICCV 2021).

How much a joint hears of another is a learned matrix that all channels share, plus, for each
channel, what the two joints are like in this clip. Convolutions over time as in ST-GCN++.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keyact.models.sequence_parts import (
    TRAINING,
    chosen,
    classify,
    clip_input,
    norm,
    one_by_one,
    together,
)
from keyact.models.stgcn import over_time, partitions
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "bone", "joint_motion", "bone_motion", "score")


@keras.saving.register_keras_serializable(package="keyact")
class RefinedGraph(layers.Layer):
    """(N, T, V, C) to (N, T, V, width) with one of the skeleton's matrices."""

    def __init__(self, width: int, matrix: Any, reduced: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.reduced = width, reduced
        self.matrix = [[float(value) for value in row] for row in matrix]

    def build(self, shape: Any) -> None:
        start, size = self.matrix, len(self.matrix)
        self.graph = self.add_weight(
            shape=(size, size),
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(start, dtype),
            name="graph",
        )
        self.strength = self.add_weight(shape=(), initializer="zeros", name="strength")
        last = shape[-1]
        self.one = layers.Dense(self.reduced, name="one", dtype=self.dtype_policy)
        self.two = layers.Dense(self.reduced, name="two", dtype=self.dtype_policy)
        self.wide = layers.Dense(self.width, name="wide", dtype=self.dtype_policy)
        self.value = layers.Dense(self.width, name="value", dtype=self.dtype_policy)
        for layer, channels in (
            (self.one, last), (self.two, last), (self.wide, self.reduced), (self.value, last)
        ):  # fmt: skip
            layer.build((None, size, channels))

    def call(self, x: Any) -> Any:
        mean = ops.mean(x, 1)
        unlike = ops.tanh(self.one(mean)[:, :, None] - self.two(mean)[:, None])
        refined = self.wide(unlike) * ops.cast(self.strength, x.dtype)
        graph = refined + ops.cast(self.graph, x.dtype)[None, :, :, None]  # (N, V, V, width)
        # For each channel (V, V) times (V, T), as one batch of products.
        values = ops.transpose(self.value(x), (0, 3, 2, 1))
        mixed = ops.matmul(ops.transpose(graph, (0, 3, 1, 2)), values)
        return ops.transpose(mixed, (0, 3, 2, 1))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "matrix": self.matrix,
            "reduced": self.reduced,
        }


def build(
    labels: int,
    features: Features,
    *,
    streams: tuple[str, ...] | None = None,
    widths: tuple[int, ...] = (32, 64, 64),
    dropout: float = 0.3,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    widths : channels of the blocks; where they grow, every other frame is left out.
    """
    inputs = clip_input(features)
    x = one_by_one(chosen(inputs, features, streams or features.streams), features.people)
    matrices = partitions(features.skeleton)
    for i, width in enumerate(widths):
        stride = 2 if i and width > widths[i - 1] else 1
        y = layers.Add()([RefinedGraph(width, matrix)(x) for matrix in matrices])
        y = norm()(y)
        same = x if x.shape[-1] == width else norm()(layers.Dense(width)(x))
        y = layers.Activation("relu")(layers.Add()([y, same]))
        y = layers.Dropout(dropout / 3)(over_time(y, width, stride))
        if stride > 1:
            same = same[:, ::stride]
        x = layers.Activation("relu")(layers.Add()([y, same]) if i else y)
    x = together(x, features.people)
    return keras.Model(inputs, classify(x, labels, dropout), name="ctrgcn")
