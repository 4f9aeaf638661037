"""bilstm and bigru: recurrent layers that read the clip in both directions.

Graves and Schmidhuber, 2005 (LSTM in both directions); Cho et al., EMNLP 2014 (GRU).
"""

from __future__ import annotations

from typing import Literal

import keras
from keras import layers

from keyact.errors import UnknownNameError
from keyact.models.sequence_parts import TRAINING, chosen, classify, clip_input, flat_joints, pooled
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "bone", "joint_motion", "score")
CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


def build(
    labels: int,
    features: Features,
    *,
    cell: Literal["lstm", "gru"] = "lstm",
    streams: tuple[str, ...] | None = None,
    width: int = 96,
    depth: int = 2,
    stride: int = 2,
    dropout: float = 0.4,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    width : units in each direction.
    depth : layers one above the other.
    stride : frames that a convolution before them gathers into one step.
    """
    if cell not in CELLS:
        raise UnknownNameError("cell", cell, CELLS)
    inputs = clip_input(features)
    x = flat_joints(chosen(inputs, features, streams or features.streams))
    x = layers.Conv1D(width, 3, strides=stride, padding="same", activation="relu")(x)
    for _ in range(depth):
        x = layers.Dropout(dropout / 2)(x)
        # Unrolled: ONNX gets plain operators, and the steps are few.
        x = layers.Bidirectional(CELLS[cell](width, return_sequences=True, unroll=True))(x)
    return keras.Model(inputs, classify(pooled(x, 1), labels, dropout), name=f"bi{cell}")
