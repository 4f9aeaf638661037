"""ddnet: DD-Net, joint distances and motion at two speeds (Yang et al., MMAsia 2019).

Three branches of 1D convolutions, over the distances between all joints, which do not depend on
place and view, over the motion from frame to frame, and over that at half the rate; together they
go on through wider ones. The distances are worked out inside from the stream ``joint``.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keyact.models.sequence_parts import TRAINING, chosen, classify, clip_input, norm, pooled
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint",)


@keras.saving.register_keras_serializable(package="keyact")
class JointDistances(layers.Layer):
    """(N, T, V, C) to (N, T, V (V - 1) / 2): between each two joints."""

    def build(self, shape: Any) -> None:
        joints = shape[2]
        first, second = np.triu_indices(joints, 1)
        self._pairs = np.zeros((joints, len(first)), np.float32)
        self._pairs[first, range(len(first))] = 1
        self._pairs[second, range(len(first))] = -1

    def call(self, x: Any) -> Any:
        # As a product with ones and minus ones: gathering is slow in a gradient.
        away = ops.matmul(ops.transpose(x, (0, 1, 3, 2)), ops.cast(self._pairs, x.dtype))
        return ops.sqrt(ops.sum(ops.square(away), 2) + 1e-6)


@keras.saving.register_keras_serializable(package="keyact")
class Motion(layers.Layer):
    """(N, T, V, C) to (N, T / step, V x C): how far each joint goes in ``step`` frames."""

    def __init__(self, step: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step

    def call(self, x: Any) -> Any:
        frames, joints, size = x.shape[1:]
        whole = frames // self.step * self.step
        at = ops.reshape(x[:, : whole : self.step], (-1, whole // self.step, joints * size))
        later = ops.concatenate([at[:, 1:], at[:, -1:]], 1)
        return later - at

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step": self.step}


def build(
    labels: int,
    features: Features,
    *,
    streams: tuple[str, ...] | None = None,
    width: int = 48,
    dropout: float = 0.4,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    streams : ``joint`` alone is looked at.
    width : channels of a branch; 64 in the paper's larger network.
    """
    inputs = clip_input(features)
    points = chosen(inputs, features, STREAMS)

    def conv(x: Any, channels: int, kernel: int) -> Any:
        x = layers.Conv1D(channels, kernel, padding="same", use_bias=False)(x)
        return layers.LeakyReLU(0.2)(norm()(x))

    def branch(x: Any, halve: bool) -> Any:
        x = layers.SpatialDropout1D(0.1)(norm()(x))
        for channels, kernel in ((2 * width, 1), (width, 3), (width, 1)):
            x = conv(x, channels, kernel)
        return layers.SpatialDropout1D(0.1)(layers.MaxPooling1D(2)(x) if halve else x)

    parts = [branch(JointDistances()(points), True), branch(Motion(1)(points), True)]
    x = layers.Concatenate()([*parts, branch(Motion(2)(points), False)])
    for i, channels in enumerate((2 * width, 4 * width, 8 * width)):
        x = conv(conv(x, channels, 3), channels, 3)
        x = layers.SpatialDropout1D(0.1)(layers.MaxPooling1D(2)(x) if i < 2 else x)
    return keras.Model(inputs, classify(pooled(x, 1), labels, dropout), name="ddnet")
