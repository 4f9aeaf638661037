"""tcn: residual dilated convolutions over time (Bai et al., 2018; Kim and Reiter, CVPRW 2017).

The joints of a frame are one vector. Convolutions see both sides, for a clip or window is whole.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from keyact.models.sequence_parts import (
    TRAINING,
    chosen,
    classify,
    clip_input,
    flat_joints,
    norm,
    pooled,
)
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "bone", "joint_motion", "bone_motion", "score")


def build(
    labels: int,
    features: Features,
    *,
    streams: tuple[str, ...] | None = None,
    width: int = 128,
    depth: int = 4,
    kernel: int = 3,
    dropout: float = 0.3,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    streams : which of the features' to look at; all by default.
    width : channels of the layers.
    depth : residual blocks of two layers; the dilation is 1, 2, 4, 8, 1, 2 ...
    """
    inputs = clip_input(features)
    x = flat_joints(chosen(inputs, features, streams or features.streams))
    x = layers.Dense(width)(layers.SpatialDropout1D(dropout / 3)(x))
    x = residual(x, width, depth, kernel, dropout)
    return keras.Model(inputs, classify(pooled(x, 1), labels, dropout), name="tcn")


def residual(x: Any, width: int, depth: int, kernel: int, dropout: float) -> Any:
    """(N, T, width) through residual blocks over time; see `build`."""
    for i in range(depth):
        dilation = 2 ** (i % 4)
        y = layers.Activation("relu")(norm()(x))
        y = layers.Conv1D(width, kernel, padding="same", dilation_rate=dilation)(y)
        y = layers.Activation("relu")(norm()(y))
        y = layers.SpatialDropout1D(dropout)(y)
        y = layers.Conv1D(width, kernel, padding="same", dilation_rate=dilation)(y)
        x = layers.Add()([x, y])
    return layers.Activation("relu")(norm()(x))
