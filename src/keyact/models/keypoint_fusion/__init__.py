"""keypoint-fusion: MobileNetV2 features focused on the key points, fused with the pose itself."""

from __future__ import annotations

import keras

from keyact.models.backbone import initial_weights
from keyact.models.keypoint_fusion.network import SIZE, features, head

DEFAULTS = {"freeze": "block_5_add"}


def build(
    labels: int,
    weights: str | None = "imagenet",
    *,
    keypoints: bool = True,
    dropout: float = 0.4,
    size: int = SIZE,
    alpha: float = 1.0,
) -> keras.Model:
    """The network from pixels; see `keyact.models`.

    Parameters
    ----------
    weights : of MobileNetV2, see `keyact.models.backbone.initial_weights`.
    keypoints : False leaves the branches of the key points out: photo and crop alone.
    size : side of photo and crop in pixels, a multiple of 32.
    alpha : width of MobileNetV2.
    """
    eyes = features(initial_weights(weights), size, alpha, pixels=True)
    inputs = dict(zip(("context", "crop", "keypoints"), eyes.inputs, strict=True))
    seen = dict(eyes.output)
    if keypoints:
        seen["keypoints"] = keras.layers.Identity(dtype="float32")(inputs["keypoints"])
    else:
        del inputs["keypoints"]
        seen = {name: seen[name] for name in ("context", "crop")}
    looking = keras.Model(inputs, seen, name="features")
    width, fine = eyes.output["context"].shape[-1], eyes.output["fine"].shape[-1]
    mind = head(labels, keypoints, dropout, width, fine)
    return keras.Model(inputs, mind(looking(inputs)), name="keypoint_fusion")
