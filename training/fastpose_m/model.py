"""The network: MobileNetV2 1.0 up to stride 32, three pixel-shuffle (DUC) steps to stride 4.

After FastPose (Fang et al., RMPE, ICCV 2017; AlphaPose, TPAMI 2022): the backbone's map is
shuffled up by two (SE-free), then two dense up-sampling convolutions (Wang et al. 2018)
bring it to stride 4. Differences, made for small networks: skips from strides 16, 8 and 4
are added after each step, the loss is a cross-entropy over the spatial softmax of each map,
and a per-joint score is read from the features at the joint.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers, ops

from training.backbone import mobilenet_v2

STRIDE = 4
JOINTS = 17


@keras.saving.register_keras_serializable(package="keyact")
class PixelShuffle(layers.Layer):
    """(h, w, 4c) to (2h, 2w, c)."""

    def call(self, x):
        _, h, w, c = x.shape
        x = ops.reshape(x, (-1, h, w, 2, 2, c // 4))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, 2 * h, 2 * w, c // 4))


def conv_norm(x, filters: int, size: int, name: str, relu: bool = True):
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def build(height: int, width: int, weights: str | Path | None) -> keras.Model:
    """RGB / 127.5 - 1 (N, H, W, 3) to map logits (N, h, w, 17) and score logits (N, 17)."""
    backbone = mobilenet_v2((height, width, 3), weights)

    def tap(name: str):
        return backbone.get_layer(name).output

    x = conv_norm(tap("block_16_project_BN"), 640, 1, "neck", relu=False)
    x = PixelShuffle(name="shuffle1")(x)
    for step, (skip, width_out, up_to) in enumerate(
        [("block_12_add", 160, 256), ("block_5_add", 64, 256), ("block_2_add", 64, None)], 1
    ):
        side = conv_norm(tap(skip), width_out, 1, f"skip{step}", relu=False)
        x = layers.ReLU(name=f"merge{step}")(layers.Add(name=f"add{step}")([x, side]))
        if up_to:
            x = conv_norm(x, up_to, 3, f"duc{step}")
            x = PixelShuffle(name=f"shuffle{step + 1}")(x)
    features = conv_norm(x, 64, 3, "final")
    maps = layers.Conv2D(JOINTS, 1, dtype="float32", name="maps")(features)
    scores = JointScore(name="scores")([maps, features])
    return keras.Model(backbone.input, {"maps": maps, "scores": scores}, name="fastpose_m")


@keras.saving.register_keras_serializable(package="keyact")
class JointScore(layers.Layer):
    """A score logit per joint from the features where the joint's map looks.

    The map is not trained through this branch: where a joint is stays the heatmap's affair.
    """

    def build(self, shapes):
        (_, _, _, joints), (_, _, _, channels) = shapes
        self.kernel = self.add_weight(shape=(joints, channels), name="kernel")
        self.peak = self.add_weight(shape=(joints,), name="peak", initializer="zeros")
        self.bias = self.add_weight(shape=(joints,), name="bias", initializer="zeros")

    def call(self, inputs):
        maps, features = inputs
        _, h, w, joints = maps.shape
        flat = ops.stop_gradient(ops.reshape(maps, (-1, h * w, joints)))
        attention = ops.softmax(ops.cast(flat, "float32"), axis=1)
        looked = ops.matmul(
            ops.transpose(attention, (0, 2, 1)),
            ops.cast(ops.reshape(features, (-1, h * w, features.shape[-1])), "float32"),
        )
        concentration = ops.max(attention, axis=1)
        kernel = ops.cast(self.kernel, "float32")
        return (
            ops.sum(looked * kernel, axis=-1)
            + ops.log(concentration + 1e-6) * ops.cast(self.peak, "float32")
            + ops.cast(self.bias, "float32")
        )
