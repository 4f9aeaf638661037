"""The network: one MobileNetV2 sees the photo and the person; the key points say where to look.

For each person (see the class docstrings for the shapes):

- the photo and the person's crop go through the same MobileNetV2;
- *where*: the crop's last map is pooled a second time under Gaussians at the joints
  (heatmap-guided attention), and a finer map is sampled bilinearly at every joint;
- *how*: normalised coordinates, bone directions and joint angles go through a small MLP;
- both are gated by the confidence of the key points: with none, what remains is the plain
  image classifier, so a bad pose cannot hurt.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from training.backbone import mobilenet_v2

SIZE = 224
JOINTS = 17
FINE_LAYER, FINE_STRIDE = "block_13_expand_relu", 16
ATTENTION_SIGMA = 0.6  # cells of stride 32

EDGES = np.array(
    [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16),
     (5, 6), (11, 12), (5, 11), (6, 12), (0, 5), (0, 6), (3, 4)]
)  # fmt: skip
ANGLES = np.array(
    [(5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16),
     (7, 5, 11), (8, 6, 12), (5, 11, 13), (6, 12, 14)]
)  # fmt: skip


@keras.saving.register_keras_serializable(package="keyact")
class PoseFeatures(layers.Layer):
    """Key points (N, 17, 3) in crop pixels to numbers that do not depend on place or size.

    Coordinates from the torso's middle over the pose's spread, scores, bone directions and
    the cosine and sine of eight joint angles; each weighted by the score of the joints it needs.
    """

    def call(self, keypoints):
        xy, score = keypoints[..., :2], keypoints[..., 2:]
        torso = ops.concatenate([score[:, 5:7], score[:, 11:13]], axis=1) + 1e-3
        corners = ops.concatenate([xy[:, 5:7], xy[:, 11:13]], axis=1)
        centre = ops.sum(corners * torso, 1, keepdims=True) / ops.sum(torso, 1, keepdims=True)
        weight = score + 1e-3
        spread = ops.sum(ops.square(xy - centre) * weight, axis=(1, 2), keepdims=True)
        scale = ops.sqrt(spread / ops.sum(weight, 1, keepdims=True)) + 1.0
        place = (xy - centre) / scale * score
        bones = ops.take(xy, EDGES[:, 1], axis=1) - ops.take(xy, EDGES[:, 0], axis=1)
        sure = ops.minimum(
            ops.take(score, EDGES[:, 0], axis=1), ops.take(score, EDGES[:, 1], axis=1)
        )
        bones = self._unit(bones) * sure
        first = self._unit(ops.take(xy, ANGLES[:, 0], axis=1) - ops.take(xy, ANGLES[:, 1], axis=1))
        second = self._unit(ops.take(xy, ANGLES[:, 2], axis=1) - ops.take(xy, ANGLES[:, 1], axis=1))
        three = ops.minimum(
            ops.minimum(
                ops.take(score, ANGLES[:, 0], axis=1), ops.take(score, ANGLES[:, 1], axis=1)
            ),
            ops.take(score, ANGLES[:, 2], axis=1),
        )
        cosine = ops.sum(first * second, -1, keepdims=True) * three
        sine = (first[..., :1] * second[..., 1:] - first[..., 1:] * second[..., :1]) * three
        parts = [place, score, bones, cosine, sine]
        return ops.concatenate([ops.reshape(p, (-1, p.shape[1] * p.shape[2])) for p in parts], -1)

    @staticmethod
    def _unit(v):
        return v / (ops.sqrt(ops.sum(ops.square(v), -1, keepdims=True)) + 1e-3)


@keras.saving.register_keras_serializable(package="keyact")
class JointSampler(layers.Layer):
    """A map (N, h, w, C) and key points (N, 17, 3) to weighted looks (N, 17, C) at the joints.

    ``sigma`` 0 samples bilinearly; otherwise a Gaussian of that many cells is averaged over.
    """

    def __init__(self, stride: int, sigma: float = 0.0, **kwargs) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.stride, self.sigma = stride, sigma

    def call(self, inputs):
        features, keypoints = inputs
        _, h, w, c = features.shape
        cell = keypoints[..., :2] / self.stride + (0.5 / self.stride - 0.5)
        cell = ops.clip(cell, 0.0, float(max(h, w) - 1))
        dx = cell[..., 0:1] - ops.arange(w, dtype="float32")
        dy = cell[..., 1:2] - ops.arange(h, dtype="float32")
        if self.sigma:
            wx, wy = (ops.exp(-ops.square(d) / (2 * self.sigma**2)) for d in (dx, dy))
            wx, wy = (v / ops.sum(v, -1, keepdims=True) for v in (wx, wy))
        else:
            wx, wy = (ops.maximum(1.0 - ops.abs(d), 0.0) for d in (dx, dy))
        look = ops.reshape(wy[..., :, None] * wx[..., None, :], (-1, JOINTS, h * w))
        return ops.matmul(look, ops.reshape(features, (-1, h * w, c)))


@keras.saving.register_keras_serializable(package="keyact")
class Gate(layers.Layer):
    """How far to trust the key points: a monotone function (0 to 1) of their scores (N, 17, 1)."""

    def build(self, shape):
        self.slope = self.add_weight(
            shape=(), name="slope", initializer=keras.initializers.Constant(8.0)
        )
        self.middle = self.add_weight(
            shape=(), name="middle", initializer=keras.initializers.Constant(0.3)
        )

    def call(self, score):
        mean = ops.mean(score, axis=1)
        open_ = ops.sigmoid((mean - self.middle) * self.slope)
        return open_ * ops.cast(mean > 0, open_.dtype)


def head(labels: int, keypoints: bool = True, dropout: float = 0.4) -> keras.Model:
    """Pooled features to logits. The only part that is trained on cached features.

    Inputs: ``context`` and ``crop`` (N, 1280); with key points also ``attended`` (N, 17, 1280)
    looks at stride 32, ``fine`` (N, 17, 576) looks at stride 16, ``keypoints`` (N, 17, 3).
    """
    context = keras.Input((1280,), name="context")
    crop = keras.Input((1280,), name="crop")
    inputs = {"context": context, "crop": crop}
    parts = [context, crop]
    if keypoints:
        attended = keras.Input((1280,), name="attended")
        fine = keras.Input((JOINTS, 576), name="fine")
        points = keras.Input((JOINTS, 3), name="keypoints")
        inputs |= {"attended": attended, "fine": fine, "keypoints": points}
        score = points[..., 2:]
        gate = Gate(dtype="float32", name="gate")(score)
        looks = layers.Dense(64, activation="relu", name="joint_project")(fine)
        looks = layers.Flatten()(layers.Multiply()([looks, score]))
        looks = layers.Dense(256, activation="relu", name="joints")(layers.Dropout(dropout)(looks))
        pose = PoseFeatures(dtype="float32", name="pose_features")(points)
        pose = layers.Dense(192, activation="relu", name="pose1")(pose)
        pose = layers.Dense(192, activation="relu", name="pose2")(layers.Dropout(dropout)(pose))
        parts += [layers.Multiply()([part, gate]) for part in (attended, looks, pose)]
    fused = layers.Dropout(dropout, name="drop")(layers.Concatenate(name="fuse")(parts))
    logits = layers.Dense(labels, dtype="float32", name="logits")(fused)
    return keras.Model(inputs, logits, name="head")


@keras.saving.register_keras_serializable(package="keyact")
class Attend(layers.Layer):
    """Looks (N, 17, C) and scores (N, 17, 1) to their confidence-weighted mean (N, C)."""

    def call(self, inputs):
        looks, score = inputs
        return ops.sum(looks * score, 1) / (ops.sum(score, 1) + 1e-3)


def features(weights: str | Path | None) -> keras.Model:
    """``context`` and ``crop`` (N, 224, 224, 3), RGB / 127.5 - 1, and ``keypoints`` (N, 17, 3)
    in crop pixels, to what :func:`head` takes."""
    backbone = mobilenet_v2((SIZE, SIZE, 3), weights)
    taps = keras.Model(
        backbone.input,
        [backbone.get_layer(FINE_LAYER).output, backbone.output],
        name="mobilenet_v2",
    )
    context = keras.Input((SIZE, SIZE, 3), name="context")
    crop = keras.Input((SIZE, SIZE, 3), name="crop")
    points = keras.Input((JOINTS, 3), name="keypoints", dtype="float32")
    _, context_map = taps(context)
    fine_map, crop_map = taps(crop)
    pool = layers.GlobalAveragePooling2D(dtype="float32")
    looks = JointSampler(32, ATTENTION_SIGMA, name="look")([crop_map, points])
    return keras.Model(
        [context, crop, points],
        {
            "context": pool(context_map),
            "crop": pool(crop_map),
            "attended": Attend(dtype="float32", name="attend")([looks, points[..., 2:]]),
            "fine": JointSampler(FINE_STRIDE, name="sample")([fine_map, points]),
        },
        name="features",
    )


def build(
    labels: int, weights: str | Path | None, keypoints: bool = True, dropout: float = 0.4
) -> keras.Model:
    """The whole network, photo to logits."""
    eyes = features(weights)
    mind = head(labels, keypoints, dropout)
    seen = dict(eyes.output)
    points = eyes.inputs[2]
    wanted = (
        {"keypoints": points, **seen} if keypoints else {k: seen[k] for k in ("context", "crop")}
    )
    return keras.Model(eyes.inputs, mind(wanted), name="keypoint_fusion")
