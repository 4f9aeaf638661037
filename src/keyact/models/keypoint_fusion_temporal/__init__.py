"""keypoint-fusion-temporal: how people move, and what MobileNetV2 sees at their key points.

Each frame has two vectors: the joints, as every sequence network sees them, and a glance, the
features of keypoint-fusion's MobileNetV2 on the photo and the person, pooled under Gaussians at the
key points (`keyact.action.eyes`). A glance is projected to a few numbers, gated by how sure the key
points of the frame are, and stands beside the joints; residual dilated convolutions (`tcn`) then
go over time. The mean of the gated glances goes straight to the answer as well, so that what does
not move is learnt from few clips.

The eyes are frozen: glances are computed once a clip, a few a second, and kept in the cache. They
are not trained here but taken from a trained keypoint-fusion (``sequence.eyes``; the bundled one by
default) and stand in ``model.onnx``, whose metadata names that network and its SHA-256. Where
nothing was looked at a glance is all zeros and its gate is shut.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keyact.errors import InputError
from keyact.models.sequence_parts import (
    TRAINING,
    Mean,
    chosen,
    classify,
    clip_input,
    flat_joints,
    norm,
    pooled,
)
from keyact.models.tcn import residual
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "bone", "joint_motion", "bone_motion", "score")
EYES = True
"""Its recordings need glances."""


@keras.saving.register_keras_serializable(package="keyact")
class Part(layers.Layer):
    """Numbers ``start`` to ``stop`` of each frame (N, T, 1, F), as (N, T, *shape)."""

    def __init__(self, start: int, stop: int, shape: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start, self.stop, self.shape = start, stop, tuple(shape)

    def call(self, x: Any) -> Any:
        return ops.reshape(x[:, :, 0, self.start : self.stop], (-1, x.shape[1], *self.shape))

    def get_config(self) -> dict[str, Any]:
        own = {"start": self.start, "stop": self.stop, "shape": self.shape}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keyact")
class Trust(layers.Layer):
    """Scores (N, T, V, 1) and glances (N, T, D) to a gate (N, T, 1): shut where there is none."""

    def build(self, shapes: Any) -> None:
        self.slope = self.add_weight(
            shape=(), name="slope", initializer=keras.initializers.Constant(8.0)
        )
        self.middle = self.add_weight(
            shape=(), name="middle", initializer=keras.initializers.Constant(0.2)
        )

    def call(self, inputs: Any) -> Any:
        score, glance = inputs
        open_ = ops.sigmoid((ops.mean(score, 2) - self.middle) * self.slope)
        there = ops.max(ops.abs(glance), -1, keepdims=True) > 0
        return open_ * ops.cast(there, open_.dtype)


def build(
    labels: int,
    features: Features,
    *,
    streams: tuple[str, ...] | None = None,
    width: int = 128,
    depth: int = 4,
    kernel: int = 3,
    glance: int = 64,
    dropout: float = 0.3,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    streams : which of the features' to look at beside the glances; all by default.
    width, depth, kernel : of the convolutions, see `tcn`.
    glance : numbers that a glance is projected to.

    Raises
    ------
    InputError : the features have no glances, or no stream ``score``.
    """
    if not features.glances:
        raise InputError(
            "keypoint-fusion-temporal looks at the pictures: give it a folder of video clips"
        )
    inputs = clip_input(features)
    _, joints, size = features.joint_shape
    count = joints * size
    points = Part(0, count, (joints, size))(inputs)
    seen = Part(count, count + features.glances, (features.glances,))(inputs)
    gate = Trust(dtype="float32", name="gate")([chosen(points, features, ("score",)), seen])
    seen = layers.Dense(glance, activation="relu", name="glance")(
        layers.Dropout(dropout)(norm()(seen))
    )
    seen = layers.Multiply()([seen, gate])
    x = flat_joints(chosen(points, features, streams or features.streams))
    x = layers.Concatenate()([layers.SpatialDropout1D(dropout / 3)(x), seen])
    x = residual(layers.Dense(width)(x), width, depth, kernel, dropout)
    fused = layers.Concatenate(name="fuse_time")([pooled(x, 1), Mean((1,))(seen)])
    return keras.Model(inputs, classify(fused, labels, dropout), name="keypoint_fusion_temporal")
