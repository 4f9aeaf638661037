"""The network: MobileNetV2, a three-level feature pyramid, and a box per cell.

Anchor-free as FCOS (Tian et al. 2019): each cell of strides 8, 16 and 32 says how likely a
person is centred there and how far the four sides of the box are. The score is trained to be
the overlap of its own box (quality focal loss, Li et al. 2020), so that one number ranks both.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from training.backbone import mobilenet_v2

STRIDES = (8, 16, 32)
WIDTH = 80
NMS_IOU = 0.45  # best recall at precision .9 on the held-out photos, of .4 to .7


def _conv(x, filters: int, name: str, size: int = 1):
    if size > 1:
        x = layers.DepthwiseConv2D(size, padding="same", use_bias=False, name=f"{name}_dw")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def build(size: int, weights: str | Path | None) -> keras.Model:
    """RGB / 127.5 - 1 (N, S, S, 3) to score logits (N, M) and log distances (N, M, 4)."""
    backbone = mobilenet_v2((size, size, 3), weights)
    taps = ["block_5_add", "block_12_add", "block_16_project_BN"]
    maps = [
        _conv(backbone.get_layer(tap).output, WIDTH, f"lateral{s}")
        for tap, s in zip(taps, STRIDES, strict=True)
    ]
    for i in (1, 0):
        up = layers.UpSampling2D(name=f"up{STRIDES[i]}")(maps[i + 1])
        maps[i] = layers.Add(name=f"sum{STRIDES[i]}")([maps[i], up])
        maps[i] = _conv(maps[i], WIDTH, f"smooth{STRIDES[i]}", 3)
    scores, boxes = [], []
    for x, stride in zip(maps, STRIDES, strict=True):
        cells = (size // stride) ** 2
        for k in range(2):
            x = _conv(x, WIDTH, f"tower{stride}_{k}", 5)
        score = layers.Conv2D(
            1, 1, dtype="float32", name=f"score{stride}",
            bias_initializer=keras.initializers.Constant(-4.0),
        )(x)  # fmt: skip
        side = layers.Conv2D(
            4, 1, dtype="float32", name=f"side{stride}",
            bias_initializer=keras.initializers.Constant(1.0),
        )(x)  # fmt: skip
        scores.append(layers.Reshape((cells,), dtype="float32", name=f"flat_score{stride}")(score))
        boxes.append(layers.Reshape((cells, 4), dtype="float32", name=f"flat_side{stride}")(side))
    return keras.Model(
        backbone.input,
        {
            "scores": layers.Concatenate(axis=1, dtype="float32", name="scores")(scores),
            "sides": layers.Concatenate(axis=1, dtype="float32", name="sides")(boxes),
        },
        name="persondet_m",
    )


def cells(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (M, 2) in input pixels and strides (M, 1), in the order of the outputs."""
    centres, strides = [], []
    for stride in STRIDES:
        n = size // stride
        y, x = np.mgrid[:n, :n]
        centres.append((np.stack([x.ravel(), y.ravel()], 1) + 0.5) * stride)
        strides.append(np.full((n * n, 1), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def to_boxes(sides, size: int):
    """Log distances (N, M, 4) to xyxy boxes in input pixels."""
    centres, strides = (ops.convert_to_tensor(part, "float32") for part in cells(size))
    distance = ops.exp(ops.clip(sides, -4.0, 4.5)) * strides
    return ops.concatenate([centres - distance[..., :2], centres + distance[..., 2:]], axis=-1)
