"""mobilenetv2: the image alone, without key points; what keypoint-fusion is compared with."""

from __future__ import annotations

import keras
from keras import layers

from keyact.models.backbone import initial_weights, mobilenet_v2
from keyact.models.views import View, image_model

DEFAULTS = {"freeze": "block_5_add"}


def build(
    labels: int,
    weights: str | None = "imagenet",
    *,
    view: View = "photo",
    dropout: float = 0.4,
    size: int = 224,
    alpha: float = 1.0,
) -> keras.Model:
    """MobileNetV2 (Sandler et al., CVPR 2018) and a linear layer; see `keyact.models`.

    Parameters
    ----------
    weights : see `keyact.models.backbone.initial_weights`.
    view : what it sees: ``photo``, ``person`` (the crop) or ``both``.
    """
    backbone = mobilenet_v2((size, size, 3), initial_weights(weights), alpha)
    eye = keras.Model(backbone.input, backbone.output, name="mobilenet_v2")
    scale = layers.Rescaling(1 / 127.5, -1, name="scale")
    return image_model(
        lambda pixels: eye(scale(pixels)),
        labels,
        name="mobilenetv2",
        view=view,
        size=size,
        dropout=dropout,
    )
