"""MobileNetV2 (Sandler et al. 2018) from ``keras.applications`` with batch norm folded away.

Every batch norm of the ImageNet network becomes part of the convolution before it. The
function is the same; a training step is cheaper, and there are no statistics to go stale
when the fine-tuning photos look different or the batches are small.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keyact.errors import InputError

COPY = "mobilenetv2_imagenet_notop_folded.weights.h5"


@keras.saving.register_keras_serializable(package="keyact")
class Folded(layers.Layer):
    """Stands where a batch norm stood; the convolution before it carries its numbers."""

    def call(
        self, x: Any, training: Any = None, mask: Any = None
    ) -> Any:  # the arguments that a batch norm takes
        return x


def mobilenet_v2(
    input_shape: tuple[int, int, int], weights: str | Path | None, alpha: float = 1.0
) -> keras.Model:
    """MobileNetV2 without its top, convolutions with bias, no batch norm.

    Parameters
    ----------
    input_shape : (H, W, 3); input is RGB / 127.5 - 1.
    weights : ``"imagenet"`` (Keras downloads them), a ``.weights.h5`` file of
        ``keras.applications.MobileNetV2(include_top=False)``, or None for random ones.

    Raises
    ------
    InputError : the weights cannot be downloaded or read.
    """
    file = weights if weights not in (None, "imagenet") else None
    try:
        source = keras.applications.MobileNetV2(
            include_top=False,
            alpha=alpha,
            input_shape=input_shape,
            weights="imagenet" if weights == "imagenet" else None,
        )
        if file is not None:
            source.load_weights(str(file))
    except Exception as error:  # Keras, h5py and urllib share no error
        raise unusable(weights, error) from error

    def without_norm(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, layers.BatchNormalization):
            return Folded(name=layer.name)
        config = layer.get_config()
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    folded = keras.models.clone_model(source, clone_function=without_norm)
    convolution: layers.Layer | None = None
    for layer in source.layers:
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            convolution = layer
        elif isinstance(layer, layers.BatchNormalization):
            assert convolution is not None
            gamma, beta, mean, variance = (np.asarray(w) for w in layer.get_weights())
            scale = gamma / np.sqrt(variance + layer.epsilon)
            kernel = np.asarray(convolution.get_weights()[0])
            if isinstance(convolution, layers.DepthwiseConv2D):
                kernel = kernel * scale[None, None, :, None]
            else:
                kernel = kernel * scale
            folded.get_layer(convolution.name).set_weights([kernel, beta - mean * scale])
    return folded


def initial_weights(init: str | None, shared: Path | None = None) -> str | Path | None:
    """What :func:`mobilenet_v2` starts from.

    "imagenet" is the copy in ``shared`` (``$KEYACT_SHARED`` when not given) if there is one, or
    else Keras's download; "random" and None are nothing; anything else is a file.
    """
    if init in ("random", None):
        return None
    if init != "imagenet":
        return Path(str(init))
    if shared is None and os.environ.get("KEYACT_SHARED"):
        shared = Path(os.environ["KEYACT_SHARED"])
    if shared is not None and (shared / "weights" / COPY).exists():
        return shared / "weights" / COPY
    return "imagenet"


def unusable(weights: object, error: Exception) -> InputError:
    """What to say when a network's first weights cannot be had."""
    reason = " ".join(str(error).split())[:200]
    return InputError(
        f"weights {str(weights)!r}: cannot be downloaded or read ({reason}); give a file with "
        "--set weights=FILE, or start from random ones with --set weights=none"
    )


def freeze_until(model: keras.Model, layer_name: str) -> None:
    """Make every layer up to and including ``layer_name`` untrainable."""
    for layer in model.layers:
        layer.trainable = False
        if layer.name == layer_name:
            return
    raise ValueError(f"no layer named {layer_name!r}")
