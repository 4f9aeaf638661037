"""vit: a Vision Transformer (Dosovitskiy et al., ICLR 2021) of keras-hub, on the image alone.

Needs the extra ``vit`` (keras-hub, Python 3.11 or newer). The ImageNet weights are downloaded from
Kaggle by keras-hub.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import keras
from keras import layers

from keyact.errors import InputError
from keyact.models.backbone import unusable
from keyact.models.views import View, image_model

DEFAULTS = {"rate": 3e-4, "backbone_rate": 0.1}
PRESET = "vit_base_patch16_224_imagenet"


def build(
    labels: int,
    weights: str | None = "imagenet",
    *,
    view: View = "photo",
    dropout: float = 0.2,
    size: int = 224,
    patch: int = 16,
    depth: int = 12,
    heads: int = 12,
    width: int = 768,
) -> keras.Model:
    """The class token of a ViT-B/16 and a linear layer; see `keyact.models`.

    Parameters
    ----------
    weights : ``imagenet`` (its size, patch, depth, heads and width are as by default), None, or a
        ``.weights.h5`` file of the backbone.
    view : what it sees: ``photo``, ``person`` (the crop) or ``both``.
    """
    try:
        vit = import_module("keras_hub").models.ViTBackbone
    except ImportError:
        raise InputError("vit: needs keras-hub: python -m pip install 'keyact[vit]'") from None
    try:
        if weights == "imagenet":
            eye = vit.from_preset(PRESET)
        else:
            eye = vit((size, size, 3), patch, depth, heads, width, 4 * width)
            if weights not in (None, "random"):
                eye.load_weights(str(weights))
    except Exception as error:  # Keras, h5py and kagglehub share no error
        raise unusable(weights, error) from error
    scale = layers.Rescaling(1 / 127.5, -1, name="scale")

    def look(pixels: Any) -> Any:
        return eye(scale(pixels))[:, None, :1]  # the class token, as a map of one cell

    return image_model(look, labels, name="vit", view=view, size=size, dropout=dropout)
