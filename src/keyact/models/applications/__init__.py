"""Any image network of ``keras.applications``, from pixels, in place of MobileNetV2."""

from __future__ import annotations

import importlib
from typing import Any

import keras
from keras import layers

from keyact.models.backbone import unusable
from keyact.models.views import View, image_model

DEFAULTS = {"freeze": None}


@keras.saving.register_keras_serializable(package="keyact")
class Preprocess(layers.Layer):
    """uint8 RGB pixels to what a network of ``keras.applications`` was trained on."""

    def __init__(self, module: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.module = module

    def call(self, pixels: Any) -> Any:
        home = importlib.import_module(f"keras.applications.{self.module}")
        x = keras.ops.cast(pixels, self.compute_dtype)
        return home.preprocess_input(x, data_format="channels_last")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "module": self.module}


def build(
    labels: int,
    weights: str | None = "imagenet",
    *,
    architecture: str = "EfficientNetV2B0",
    view: View = "photo",
    dropout: float = 0.4,
    size: int = 224,
) -> keras.Model:
    """A network of ``keras.applications`` and a linear layer; see `keyact.models`.

    Parameters
    ----------
    weights : ``imagenet`` (Keras downloads them), None, or a ``.weights.h5`` file of the network
        without its top.
    architecture : name of its class there.
    view : what it sees: ``photo``, ``person`` (the crop) or ``both``.
    """
    maker = getattr(keras.applications, architecture)
    file = weights if weights not in (None, "imagenet", "random") else None
    try:
        eye = maker(
            include_top=False,
            weights="imagenet" if weights == "imagenet" else None,
            input_shape=(size, size, 3),
        )
        if file is not None:
            eye.load_weights(str(file))
    except Exception as error:  # Keras, h5py and urllib share no error
        raise unusable(weights, error) from error
    scale = Preprocess(maker.__module__.rpartition(".")[2], name="scale")
    return image_model(
        lambda pixels: eye(scale(pixels)),
        labels,
        name=architecture.lower(),
        view=view,
        size=size,
        dropout=dropout,
    )
