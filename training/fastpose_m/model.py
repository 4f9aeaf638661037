"""The network: MobileNetV2 1.75 to stride 32, three pixel-shuffle (DUC) steps back to stride 4.

After FastPose (Fang et al., RMPE, ICCV 2017; AlphaPose, TPAMI 2022): dense up-sampling
convolutions (Wang et al. 2018), each a 3x3 convolution and a pixel shuffle, bring the
backbone's last map to stride 4. Differences, made for small networks: after each step a skip
from the backbone is added and a separable convolution blends the two (as in MoveNet's feature
pyramid, whose weights it starts from, see :mod:`training.fastpose_m.inherit`), the loss is a
cross-entropy over the spatial softmax of each map, and a per-joint score is read from the
features at the joint.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from training.backbone import mobilenet_v2

STRIDE = 4
JOINTS = 17
LAST = "block_16_project_BN"
ALPHA = 1.75  # the teacher's widths, so that its weights fit
NECK = 1280
FOLD = 64  # channels of stride 32 in front of the first up-sampling
STEPS = (  # skip's tap, channels of skip and up-sampled map, channels after blending
    ("block_9_add", 64, 32),
    ("block_5_add", 32, 24),
    ("block_2_add", 24, 24),
)
FEATURES = 96


@keras.saving.register_keras_serializable(package="keyact")
class PixelShuffle(layers.Layer):
    """(h, w, 4c) to (2h, 2w, c)."""

    def call(self, x):
        _, h, w, c = x.shape
        x = ops.reshape(x, (-1, h, w, 2, 2, c // 4))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, 2 * h, 2 * w, c // 4))


@keras.saving.register_keras_serializable(package="keyact")
class EdgePad(layers.Layer):
    """(h, w, c) to (h + 2, w + 2, c), the border repeated, as bilinear up-sampling sees it."""

    def call(self, x):
        x = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
        return ops.concatenate([x[:, :, :1], x, x[:, :, -1:]], axis=2)


def separable(x, filters: int, name: str, padding: str = "same"):
    x = layers.DepthwiseConv2D(3, padding=padding, use_bias=False, name=f"{name}_dw")(x)
    x = layers.Conv2D(filters, 1, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def sides(size: str) -> tuple[int, int]:
    """Height and width that "224x224" tells."""
    height, width = (int(side) for side in size.split("x"))
    return height, width


def build(height: int, width: int) -> keras.Model:
    """RGB / 127.5 - 1 (N, H, W, 3) to map logits (N, h, w, 17) and score logits (N, 17)."""
    backbone = mobilenet_v2((height, width, 3), None, ALPHA)
    x = layers.Conv2D(NECK, 1, name="neck")(backbone.get_layer(LAST).output)
    x = layers.ReLU(6.0, name="neck_relu")(x)
    x = layers.Conv2D(FOLD, 1, name="fold")(x)
    for step, (tap, channels, blended) in enumerate(STEPS, 1):
        x = EdgePad(name=f"edge{step}")(x)
        x = layers.Conv2D(4 * channels, 3, name=f"duc{step}")(x)
        x = PixelShuffle(name=f"shuffle{step}")(x)
        skip = layers.Conv2D(channels, 1, name=f"skip{step}")(backbone.get_layer(tap).output)
        x = layers.Add(name=f"add{step}")([x, skip])
        x = separable(x, blended, f"blend{step}")
    features = separable(x, FEATURES, "final")
    maps = layers.Conv2D(JOINTS, 1, dtype="float32", name="maps")(features)
    inner = layers.Cropping2D(inner_half(*x.shape[1:3], margin=1), name="inner")(x)
    middle, reach = (
        layers.Conv2D(channels, 1, dtype="float32", name=f"{name}_maps")(
            separable(inner, FEATURES, name, padding="valid")
        )
        for name, channels in (("middle", 1), ("reach", 2 * JOINTS))
    )
    maps = Person(dtype="float32", name="person")([maps, middle, reach])
    scores = JointScore(name="scores")([maps, features])
    return keras.Model(backbone.input, {"maps": maps, "scores": scores}, name="fastpose_m")


def inner_half(h: int, w: int, margin: int = 0) -> tuple[int, int]:
    """Cells to cut off above and below, and left and right."""
    return h // 4 - margin, w // 4 - margin


@keras.saving.register_keras_serializable(package="keyact")
class Person(layers.Layer):
    """The joints of everyone in the crop to those of the person in its middle, as in MoveNet.

    Each cell of the crop's inner half says how likely it is the middle of a body (N, a, b, 1) and
    the way from there to the body's joints (N, a, b, 34), y before x, in cells. Where a joint is
    then expected is the mean over the likely middles, and its map (N, h, w, 17) is lowered by the
    logarithm of the distance from there.
    """

    NEAR = 1.8  # cells within which distance matters little
    onnx_names = ("mul_3/", "mul/")  # strength, focus

    def build(self, shapes):
        joints = shapes[0][-1]
        self.strength = self.add_weight(shape=(joints,), name="strength", initializer="ones")
        self.focus = self.add_weight(shape=(), name="focus", initializer="ones")

    def call(self, inputs):
        maps, middle, reach = inputs
        _, h, w, joints = maps.shape
        above, left = inner_half(h, w)
        y, x = np.mgrid[above : h - above, left : w - left].astype(np.float32)
        far = np.hypot(y - (h - 1) / 2, x - (w - 1) / 2) + self.NEAR
        cells = y.size
        likely = ops.log_sigmoid(ops.reshape(middle, (-1, cells)))
        likely = likely - ops.convert_to_tensor(np.log(far).ravel())
        share = ops.softmax(likely * self.focus)[:, None]
        ways = ops.reshape(reach, (-1, cells, 2 * joints))
        place = np.tile(np.stack([y.ravel(), x.ravel()], 1), (1, joints))
        expected = ops.matmul(share, ways + ops.convert_to_tensor(place))
        expected = ops.reshape(expected, (-1, 1, 1, joints, 2))
        dy = ops.arange(h, dtype="float32")[:, None, None] - expected[..., 0]
        dx = ops.arange(w, dtype="float32")[None, :, None] - expected[..., 1]
        gap = ops.log(dy * dy + dx * dx + self.NEAR**2)
        return maps - gap * self.strength


@keras.saving.register_keras_serializable(package="keyact")
class JointScore(layers.Layer):
    """A score logit per joint from the features where the joint's map looks.

    The map is not trained through this branch: where a joint is stays the heatmap's affair.
    """

    onnx_names = ("Cast/", "Cast_1/", "Cast_2/")  # kernel, peak, bias

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
