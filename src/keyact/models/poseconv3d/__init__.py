"""poseconv3d: 3D convolutions over heatmap volumes (PoseConv3D; Duan et al., CVPR 2022), light.

Each joint is drawn as a small Gaussian into a map of its own, frame after frame, and the volume
(T, S, S, V) goes through a shallow 3D network. Maps are drawn inside the network from the stream
``joint``; joints in 3D are drawn twice, from the front and from the side.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keyact.models.sequence_parts import TRAINING, chosen, classify, clip_input, norm, pooled
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "score")
REACH = 2.8  # body sizes from the middle to the edge of the map


@keras.saving.register_keras_serializable(package="keyact")
class Heatmaps(layers.Layer):
    """Joints (N, T, V, D + 1), the score last, to (N, T, size, size, V) or 2 V in 3D."""

    def __init__(self, size: int, sigma: float = 0.6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.sigma = size, sigma

    def call(self, x: Any) -> Any:
        centres = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size * 2 - 1
        wide = 2 * (2 * self.sigma / self.size) ** 2
        away = x[..., None, :-1] / REACH - ops.cast(centres[:, None], x.dtype)
        lines = ops.exp(-ops.square(away) / wide)  # (N, T, V, size, D)
        lines = ops.transpose(lines, (0, 1, 4, 3, 2))  # (N, T, D, size, V)
        tall = lines[:, :, 1, :, None] * (0.5 + 0.5 * x[:, :, None, None, :, -1])
        views = [tall * lines[:, :, 0, None]]
        if x.shape[-1] == 4:
            views.append(tall * lines[:, :, 2, None])
        return ops.concatenate(views, -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "sigma": self.sigma}


def build(
    labels: int,
    features: Features,
    *,
    streams: tuple[str, ...] | None = None,
    size: int = 16,
    frames: int = 16,
    widths: tuple[int, ...] = (24, 48, 96),
    dropout: float = 0.4,
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    streams : ``joint`` and ``score`` are looked at.
    size : side of the maps.
    frames : at most so many of the clip's, evenly spaced.
    widths : channels of the blocks, each at half the resolution of the one before.
    """
    inputs = clip_input(features)
    step = max(features.shape[0] // frames, 1)
    x = chosen(inputs, features, STREAMS)[:, ::step]
    x = layers.Conv3D(widths[0], (1, 3, 3), padding="same", use_bias=False)(Heatmaps(size)(x))
    x = layers.Activation("relu")(norm()(x))
    for i, width in enumerate(widths):
        if i:
            x = layers.MaxPooling3D((1, 2, 2))(x)
        y = layers.Conv3D(width, (3, 1, 1), padding="same", use_bias=False)(x)
        y = layers.Activation("relu")(norm()(y))
        y = norm()(layers.Conv3D(width, (1, 3, 3), padding="same", use_bias=False)(y))
        same = x if x.shape[-1] == width else norm()(layers.Conv3D(width, 1)(x))
        x = layers.Activation("relu")(layers.Add()([y, same]))
    # Normalised as in `sequence_parts.together`.
    x = norm()(pooled(layers.Dropout(dropout / 4)(x), 1, 2, 3))
    return keras.Model(inputs, classify(x, labels, dropout), name="poseconv3d")
