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

from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from keyact.models.backbone import mobilenet_v2
from keyact.models.pose_features import JOINTS, PoseFeatures

SIZE = 224
FINE_LAYER, FINE_STRIDE = "block_13_expand_relu", 16
ATTENTION_SIGMA = 0.6  # cells of stride 32


@keras.saving.register_keras_serializable(package="keyact")
class JointSampler(layers.Layer):
    """A map (N, h, w, C) and key points (N, 17, 3) to weighted looks (N, 17, C) at the joints.

    ``sigma`` 0 samples bilinearly; otherwise a Gaussian of that many cells is averaged over.
    """

    def __init__(self, stride: int, sigma: float = 0.0, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.stride, self.sigma = stride, sigma

    def call(self, inputs: Any) -> Any:
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

    onnx_names = ("mul/", "sub/")  # of slope and middle, for `training.onnx_import`

    def build(self, shape: Any) -> None:
        self.slope = self.add_weight(
            shape=(), name="slope", initializer=keras.initializers.Constant(8.0)
        )
        self.middle = self.add_weight(
            shape=(), name="middle", initializer=keras.initializers.Constant(0.3)
        )

    def call(self, score: Any) -> Any:
        mean = ops.mean(score, axis=1)
        open_ = ops.sigmoid((mean - self.middle) * self.slope)
        return open_ * ops.cast(mean > 0, open_.dtype)


BRANCHES = ("attended", "joints", "pose")


def head(
    labels: int,
    keypoints: bool | Collection[str] = True,
    dropout: float = 0.4,
    width: int = 1280,
    fine_width: int = 576,
    gated: bool = True,
) -> keras.Model:
    """Pooled features to logits. The only part that is trained on cached features.

    Inputs: ``context`` and ``crop`` (N, 1280); with key points also ``attended`` (N, 1280), the
    looks at stride 32 averaged, ``fine`` (N, 17, 576) looks at stride 16, ``keypoints``
    (N, 17, 3).

    Parameters
    ----------
    keypoints : whether they enter, or where: some of `BRANCHES`.
    gated : multiply each branch by the trust in the key points.
    """
    context = keras.Input((width,), name="context")
    crop = keras.Input((width,), name="crop")
    inputs = {"context": context, "crop": crop}
    parts = [context, crop]
    branches = BRANCHES if keypoints is True else (keypoints or ())
    if branches:
        points = keras.Input((JOINTS, 3), name="keypoints")
        inputs["keypoints"] = points
        score = points[..., 2:]
        entering = []
        if "attended" in branches:
            inputs["attended"] = keras.Input((width,), name="attended")
            entering.append(inputs["attended"])
        if "joints" in branches:
            inputs["fine"] = keras.Input((JOINTS, fine_width), name="fine")
            looks = layers.Dense(64, activation="relu", name="joint_project")(inputs["fine"])
            looks = layers.Flatten()(layers.Multiply()([looks, score]))
            looks = layers.Dropout(dropout)(looks)
            entering.append(layers.Dense(256, activation="relu", name="joints")(looks))
        if "pose" in branches:
            pose = PoseFeatures(dtype="float32", name="pose_features")(points)
            pose = layers.Dense(192, activation="relu", name="pose1")(pose)
            pose = layers.Dropout(dropout)(pose)
            entering.append(layers.Dense(192, activation="relu", name="pose2")(pose))
        if gated:
            gate = Gate(dtype="float32", name="gate")(score)
            entering = [layers.Multiply()([part, gate]) for part in entering]
        parts += entering
    fused = layers.Dropout(dropout, name="drop")(layers.Concatenate(name="fuse")(parts))
    logits = layers.Dense(labels, dtype="float32", name="logits")(fused)
    return keras.Model(inputs, logits, name="head")


@keras.saving.register_keras_serializable(package="keyact")
class Attend(layers.Layer):
    """Looks (N, 17, C) and scores (N, 17, 1) to their confidence-weighted mean (N, C)."""

    def call(self, inputs: Any) -> Any:
        looks, score = inputs
        return ops.sum(looks * score, 1) / (ops.sum(score, 1) + 1e-3)


def features(
    weights: str | Path | None, size: int = SIZE, alpha: float = 1.0, pixels: bool = False
) -> keras.Model:
    """``context`` and ``crop`` (N, size, size, 3), RGB / 127.5 - 1, or with ``pixels`` uint8 RGB,
    and ``keypoints`` (N, 17, 3) in crop pixels, to what :func:`head` takes."""
    backbone = mobilenet_v2((size, size, 3), weights, alpha)
    taps = keras.Model(
        backbone.input,
        [backbone.get_layer(FINE_LAYER).output, backbone.output],
        name="mobilenet_v2",
    )
    kind = {"dtype": "uint8"} if pixels else {}
    context = keras.Input((size, size, 3), name="context", **kind)
    crop = keras.Input((size, size, 3), name="crop", **kind)
    points = keras.Input((JOINTS, 3), name="keypoints", dtype="float32")
    scale = layers.Rescaling(1 / 127.5, -1, name="scale") if pixels else lambda image: image
    _, context_map = taps(scale(context))
    fine_map, crop_map = taps(scale(crop))
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
    labels: int,
    weights: str | Path | None,
    keypoints: bool = True,
    dropout: float = 0.4,
    size: int = SIZE,
) -> keras.Model:
    """The whole network, photo to logits."""
    eyes = features(weights, size)
    mind = head(labels, keypoints, dropout)
    seen = dict(eyes.output)
    points = eyes.inputs[2]
    wanted = (
        {"keypoints": points, **seen} if keypoints else {k: seen[k] for k in ("context", "crop")}
    )
    return keras.Model(eyes.inputs, mind(wanted), name="keypoint_fusion")
