"""act: the Action Transformer (AcT; Mazzia et al., Pattern Recognition 124, 2022).

A linear layer turns the joints of a frame into a token; a class token and learned places are
added, and what the class token has gathered after some encoder layers is classified.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keyact.models.sequence_parts import TRAINING, chosen, classify, clip_input, flat_joints
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "joint_motion", "angle", "score")


def gelu(x: Any) -> Any:
    """By tanh: ONNX has no operator for the exact one's erfc."""
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="keyact")
class Tokens(layers.Layer):
    """(N, T, C) to (N, 1 + T, C): a class token in front, a learned place added to each."""

    def build(self, shape: Any) -> None:
        _, frames, width = shape
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.first = self.add_weight(shape=(1, 1, width), initializer=small, name="first")
        self.places = self.add_weight(
            shape=(1, frames + 1, width), initializer=small, name="places"
        )

    def call(self, x: Any) -> Any:
        first = ops.cast(self.first, x.dtype) + ops.zeros_like(x[:, :1])
        return ops.concatenate([first, x], 1) + ops.cast(self.places, x.dtype)


def build(
    labels: int,
    features: Features,
    *,
    streams: tuple[str, ...] | None = None,
    width: int = 96,
    depth: int = 4,
    heads: int = 4,
    dropout: float = 0.3,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    width : of the tokens; AcT-micro has 64, AcT-small 128.
    depth : encoder layers.
    """
    inputs = clip_input(features)
    x = flat_joints(chosen(inputs, features, streams or features.streams))
    x = layers.Dense(width)(layers.SpatialDropout1D(dropout / 3)(x))
    x = Tokens(name="tokens")(x)
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout / 2)(y, y)
        x = layers.Add()([x, layers.Dropout(dropout / 2)(y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(4 * width, activation=gelu)(y)
        x = layers.Add()([x, layers.Dropout(dropout / 2)(layers.Dense(width)(y))])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    x = layers.Dense(2 * width, activation=gelu)(x)
    return keras.Model(inputs, classify(x, labels, dropout), name="act")
