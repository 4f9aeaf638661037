"""Networks that can be trained, one folder each (extra ``train``).

A photo model's module has ``build(labels, ...)`` that gives a ``keras.Model`` of some of the
inputs ``context`` and ``crop`` (N, S, S, 3), RGB 0 to 255, and ``keypoints`` (N, 17, 3) in crop
pixels, and of the logits (N, labels). It is made of two parts: ``features``, from the inputs to
a dict of tensors, those of the photo alone named ``context...``, and ``head``, from that dict to
the logits; so that either can be trained alone.

A sequence model's module has ``build(labels, features, ...)`` for what `keyact.sequences.Features`
makes of recordings: a ``keras.Model`` from ``x`` (N, T, V, C) to the logits (N, labels), for any
skeleton, in 2D or 3D; ``STREAMS`` that it wants, and ``DEFAULTS`` of its training. One that looks
at the pictures of videos too says ``EYES = True``; its features have ``glances``.

To add one of either: a folder and a line below.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from keyact.errors import UnknownNameError

__all__ = ["ModelInfo", "build", "get_model", "model_names"]


@dataclass(frozen=True)
class ModelInfo:
    """One network by name.

    Attributes
    ----------
    module : where its ``build`` is.
    options : what to give ``build`` so that it makes this one.
    """

    name: str
    kind: Literal["photo", "sequence"]
    summary: str
    tags: frozenset[str]
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)


def _photo(
    name: str, summary: str, *tags: str, module: str | None = None, **options: Any
) -> ModelInfo:
    home = f"keyact.models.{module or name.replace('-', '_')}"
    return ModelInfo(name, "photo", summary, frozenset(tags), home, options)


_APPLICATIONS = """
ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge DenseNet121 DenseNet169
DenseNet201 EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4
EfficientNetB5 EfficientNetB6 EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2
EfficientNetV2B3 EfficientNetV2S EfficientNetV2M EfficientNetV2L InceptionResNetV2 InceptionV3
MobileNet MobileNetV3Small MobileNetV3Large NASNetMobile NASNetLarge ResNet50 ResNet101 ResNet152
ResNet50V2 ResNet101V2 ResNet152V2 VGG16 VGG19 Xception
"""


def _spelt(architecture: str) -> str:
    """``EfficientNetV2B0`` as ``efficientnetv2-b0``: the family, a dash, the size."""
    size = r"(XLarge|Large|Small|Tiny|Base|Mobile|B[0-9]|(?<=V2)[SML])$"
    return re.sub(f"(?<=[a-z0-9]){size}", r"-\1", architecture).lower()


def _sequence(
    name: str, summary: str, *tags: str, module: str | None = None, **options: Any
) -> ModelInfo:
    home = f"keyact.models.{module or name.replace('-', '_')}"
    return ModelInfo(name, "sequence", summary, frozenset({"keypoints", *tags}), home, options)


_MODELS = (
    _photo(
        "keypoint-fusion",
        "MobileNetV2 on photo and person, focused on the key points",
        "image",
        "keypoints",
    ),
    _photo("mobilenetv2", "MobileNetV2 on the photo (or person) alone", "image"),
    _photo("keypoints-mlp", "normalised pose through a small perceptron", "keypoints"),
    _photo("keypoints-gcn", "graph convolutions over the skeleton", "keypoints"),
    _photo(
        "keypoints-trees", "extremely randomised trees on the normalised pose", "keypoints", "trees"
    ),
    _photo("vit", "Vision Transformer B/16 of keras-hub on the photo (or person) alone", "image"),
    *(
        _photo(
            _spelt(architecture),
            f"{architecture} of keras.applications on the photo (or person) alone",
            "image",
            module="applications",
            architecture=architecture,
        )
        for architecture in _APPLICATIONS.split()
    ),
    _sequence("stream-ensemble", "several of the networks below side by side, on other streams"),
    _sequence("tcn", "residual dilated convolutions over time"),
    _sequence("bilstm", "LSTM in both directions", module="recurrent", cell="lstm"),
    _sequence("bigru", "GRU in both directions", module="recurrent", cell="gru"),
    _sequence("ddnet", "joint distances and motion at two speeds (DD-Net)"),
    _sequence("stgcn", "graph and time convolutions (ST-GCN)", module="stgcn", plus=False),
    _sequence("stgcnpp", "ST-GCN with learned graphs (ST-GCN++)", module="stgcn", plus=True),
    _sequence("ctrgcn", "graphs refined for each channel (CTR-GCN)"),
    _sequence("act", "transformer over the frames (AcT)"),
    _sequence("poseconv3d", "3D convolutions over small heatmaps (PoseConv3D)"),
    _sequence(
        "keypoint-fusion-temporal",
        "movement with what MobileNetV2 sees at the key points; for video clips",
        "image",
    ),
)
_BY_NAME = {info.name: info for info in _MODELS}


def model_names(kind: str | None = None) -> list[str]:
    """Names of all models, or of those of one kind (``photo``, ``sequence``)."""
    return [info.name for info in _MODELS if kind in (None, info.kind)]


def get_model(name: str) -> ModelInfo:
    """A model by name.

    Raises
    ------
    UnknownNameError
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownNameError("model", name, _BY_NAME) from None


def build(name: str, labels: int, **options: Any) -> Any:
    """A ``keras.Model`` by name, for this number of labels (``keypoints-trees``: an estimator of
    scikit-learn).

    Raises
    ------
    UnknownNameError : no such model, or it has no such option.
    """
    info = get_model(name)
    function = import_module(info.module).build
    known = [key for key in inspect.signature(function).parameters if key != "labels"]
    for key in options:
        if key not in known:
            raise UnknownNameError(f"option of {name}", key, known)
    return function(labels, **{**info.options, **options})
