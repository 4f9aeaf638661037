"""Any image network of ``keras.applications``, from pixels, in place of MobileNetV2."""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np
from keras import layers

from keyact.models.backbone import unusable
from keyact.models.views import View, image_model

DEFAULTS = {"freeze": None}

# ImageNet's channels, which ConvNeXt subtracts and divides by in a layer of its own.
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@keras.saving.register_keras_serializable(package="keyact")
class Preprocess(layers.Layer):
    """uint8 RGB pixels to what a network of ``keras.applications`` was trained on."""

    def __init__(self, module: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.module = module

    def call(self, pixels: Any) -> Any:
        home = importlib.import_module(f"keras.applications.{self.module}")
        x = keras.ops.cast(pixels, self.compute_dtype)
        if self.module == "convnext":  # its own layer loses its numbers on the way to ONNX
            return (x - np.array(MEAN, "float32")) / np.array(DEVIATION, "float32")
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
    module = maker.__module__.rpartition(".")[2]
    options = {"include_preprocessing": False} if module == "convnext" else {}
    file = weights if weights not in (None, "imagenet", "random") else None
    try:
        eye = maker(
            include_top=False,
            weights="imagenet" if weights == "imagenet" else None,
            input_shape=(size, size, 3),
            **options,
        )
        if file is not None:
            eye.load_weights(str(file))
    except Exception as error:  # Keras, h5py and urllib share no error
        raise unusable(weights, error) from error
    eye = _depthwise(eye)
    scale = Preprocess(module, name="scale")
    return image_model(
        lambda pixels: eye(scale(pixels)),
        labels,
        name=architecture.lower(),
        view=view,
        size=size,
        dropout=dropout,
    )


def _depthwise(net: keras.Model) -> keras.Model:
    """The same network with depthwise layers for convolutions of one channel a group.

    ConvNeXt has the latter, which TensorFlow runs through XLA and the ONNX converter does not know.
    """

    def single(layer: Any) -> bool:
        return isinstance(layer, layers.Conv2D) and 1 < layer.groups == layer.filters

    def swap(layer: Any) -> Any:
        if not single(layer):
            return layer.__class__.from_config(layer.get_config())
        return layers.DepthwiseConv2D(
            layer.kernel_size,
            layer.strides,
            layer.padding,
            use_bias=layer.use_bias,
            name=layer.name,
        )

    if not any(map(single, net.layers)):
        return net
    copy = keras.models.clone_model(net, clone_function=swap)
    for layer in net.layers:
        if not layer.weights:  # an input has another name in the copy
            continue
        values = layer.get_weights()
        if single(layer):
            values[0] = values[0].transpose(0, 1, 3, 2)
        copy.get_layer(layer.name).set_weights(values)
    return copy
