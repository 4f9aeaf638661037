"""stgcn and stgcnpp: graph convolutions over the skeleton, convolutions over time.

stgcn is ST-GCN (Yan, Xiong and Lin, AAAI 2018): joints are mixed with themselves, with neighbours
nearer to the body's centre and with those farther away, each with its own weights, then a
convolution over time. stgcnpp is ST-GCN++ (Duan et al., ACM MM 2022): the three matrices are
learned on from there, and several short, dilated convolutions over time stand side by side.
Both are narrower and shallower than the papers', which learn from forty times as many clips.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from keyact.models.sequence_parts import (
    TRAINING,
    chosen,
    classify,
    clip_input,
    norm,
    one_by_one,
    together,
)
from keyact.sequences import Features, Skeleton

DEFAULTS = TRAINING
STREAMS = ("joint", "bone", "joint_motion", "bone_motion", "score")
WIDTHS = (32, 64, 64, 96)


def partitions(skeleton: Skeleton) -> NDArray[np.float32]:
    """(3, V, V) from joint to joint: itself, towards the centre, away from it; rows sum to 1."""
    size = len(skeleton)
    inwards = np.zeros((size, size), np.float32)
    for joint, parents in enumerate(skeleton.parents):
        inwards[joint, list(parents)] = 1
    each = np.stack([np.eye(size, dtype=np.float32), inwards, inwards.T])
    return np.asarray(each / np.maximum(each.sum(-1, keepdims=True), 1), np.float32)


@keras.saving.register_keras_serializable(package="keyact")
class GraphConv(layers.Layer):
    """(N, T, V, C) to (N, T, V, width): joints mixed by K matrices, each with its own weights.

    Parameters
    ----------
    matrices : (K, V, V) to begin with.
    learned : whether the matrices are trained, or only what each of their edges weighs.
    """

    def __init__(self, width: int, matrices: Any, learned: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.learned = width, learned
        self.matrices = np.asarray(matrices, np.float32)

    def build(self, shape: Any) -> None:
        start = np.zeros_like(self.matrices) if self.learned else np.ones_like(self.matrices)
        self.change = self.add_weight(
            shape=self.matrices.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(start, dtype),
            name="change",
        )
        self.dense = layers.Dense(self.width, name="dense", dtype=self.dtype_policy)
        self.dense.build((*shape[:-1], len(self.matrices) * shape[-1]))

    def call(self, x: Any) -> Any:
        fixed, change = ops.cast(self.matrices, x.dtype), ops.cast(self.change, x.dtype)
        mixing = fixed + change if self.learned else fixed * change
        frames, joints, size = x.shape[1:]
        kinds = len(self.matrices)
        # (K x V, V) times (V, C) for every frame: one product for all matrices.
        mixed = ops.matmul(ops.reshape(mixing, (kinds * joints, joints)), x)
        mixed = ops.reshape(mixed, (-1, frames, kinds, joints, size))
        mixed = ops.reshape(
            ops.transpose(mixed, (0, 1, 3, 2, 4)), (-1, frames, joints, kinds * size)
        )
        return self.dense(mixed)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "matrices": self.matrices.tolist(),
            "learned": self.learned,
        }


def build(
    labels: int,
    features: Features,
    *,
    plus: bool = True,
    streams: tuple[str, ...] | None = None,
    widths: tuple[int, ...] = WIDTHS,
    kernel: int = 9,
    dropout: float = 0.3,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    plus : ST-GCN++ rather than ST-GCN.
    widths : channels of the blocks; where they grow, every other frame is left out.
    kernel : frames that ST-GCN's convolutions over time span.
    """
    inputs = clip_input(features)
    x = one_by_one(chosen(inputs, features, streams or features.streams), features.people)
    matrices = partitions(features.skeleton)
    for i, width in enumerate(widths):
        stride = 2 if i and width > widths[i - 1] else 1
        y = norm()(GraphConv(width, matrices, learned=plus)(x))
        if plus:
            y = layers.Add()([y, _fitted(x, width, 1)])
        y = layers.Activation("relu")(y)
        y = over_time(y, width, stride) if plus else _conv(y, width, kernel, stride)
        y = layers.Dropout(dropout / 3)(y)
        x = layers.Activation("relu")(layers.Add()([y, _fitted(x, width, stride)]) if i else y)
    x = together(x, features.people)
    return keras.Model(inputs, classify(x, labels, dropout), name="stgcnpp" if plus else "stgcn")


def over_time(x: Any, width: int, stride: int) -> Any:
    """ST-GCN++'s branches: dilations 1 to 3, a maximum and single frames, side by side."""
    share = width // 4
    parts = []
    for dilation in (1, 2, 3):
        y = layers.Activation("relu")(norm()(layers.Dense(share)(x)))
        # A stride and a dilation do not go together, so the stride comes first or last.
        y = layers.Conv2D(share, (3, 1), padding="same", dilation_rate=(dilation, 1))(y)
        parts.append(y[:, ::stride] if stride > 1 else y)
    y = layers.Activation("relu")(norm()(layers.Dense(share // 2)(x)))
    parts.append(layers.MaxPooling2D((3, 1), (stride, 1), padding="same")(y))
    rest = width - 3 * share - share // 2
    parts.append(layers.Dense(rest)(x[:, ::stride] if stride > 1 else x))
    y = layers.Activation("relu")(norm()(layers.Concatenate()(parts)))
    return norm()(layers.Dense(width)(y))


def _conv(x: Any, width: int, kernel: int, stride: int) -> Any:
    return norm()(layers.Conv2D(width, (kernel, 1), strides=(stride, 1), padding="same")(x))


def _fitted(x: Any, width: int, stride: int) -> Any:
    """``x`` in the shape of what it is added to."""
    if stride > 1:
        x = x[:, ::stride]
    return x if x.shape[-1] == width else norm()(layers.Dense(width)(x))
