"""The pose of one person as numbers that do not depend on place or size."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

JOINTS = 17

EDGES = np.array(
    [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16),
     (5, 6), (11, 12), (5, 11), (6, 12), (0, 5), (0, 6), (3, 4)]
)  # fmt: skip
ANGLES = np.array(
    [(5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16),
     (7, 5, 11), (8, 6, 12), (5, 11, 13), (6, 12, 14)]
)  # fmt: skip


def placed(xy: Any, score: Any) -> Any:
    """Coordinates (N, 17, 2) from the torso's middle over the pose's spread, times the score."""
    torso = ops.concatenate([score[:, 5:7], score[:, 11:13]], axis=1) + 1e-3
    corners = ops.concatenate([xy[:, 5:7], xy[:, 11:13]], axis=1)
    centre = ops.sum(corners * torso, 1, keepdims=True) / ops.sum(torso, 1, keepdims=True)
    weight = score + 1e-3
    spread = ops.sum(ops.square(xy - centre) * weight, axis=(1, 2), keepdims=True)
    scale = ops.sqrt(spread / ops.sum(weight, 1, keepdims=True)) + 1.0
    return (xy - centre) / scale * score


@keras.saving.register_keras_serializable(package="keyact")
class PoseFeatures(layers.Layer):
    """Key points (N, 17, 3) in crop pixels to numbers that do not depend on place or size.

    Coordinates from the torso's middle over the pose's spread, scores, bone directions and
    the cosine and sine of eight joint angles; each weighted by the score of the joints it needs.
    """

    def call(self, keypoints: Any) -> Any:
        xy, score = keypoints[..., :2], keypoints[..., 2:]
        place = placed(xy, score)
        bones = ops.take(xy, EDGES[:, 1], axis=1) - ops.take(xy, EDGES[:, 0], axis=1)
        sure = ops.minimum(
            ops.take(score, EDGES[:, 0], axis=1), ops.take(score, EDGES[:, 1], axis=1)
        )
        bones = self._unit(bones) * sure
        first = self._unit(ops.take(xy, ANGLES[:, 0], axis=1) - ops.take(xy, ANGLES[:, 1], axis=1))
        second = self._unit(ops.take(xy, ANGLES[:, 2], axis=1) - ops.take(xy, ANGLES[:, 1], axis=1))
        three = ops.minimum(
            ops.minimum(
                ops.take(score, ANGLES[:, 0], axis=1), ops.take(score, ANGLES[:, 1], axis=1)
            ),
            ops.take(score, ANGLES[:, 2], axis=1),
        )
        cosine = ops.sum(first * second, -1, keepdims=True) * three
        sine = (first[..., :1] * second[..., 1:] - first[..., 1:] * second[..., :1]) * three
        parts = [place, score, bones, cosine, sine]
        return ops.concatenate([ops.reshape(p, (-1, p.shape[1] * p.shape[2])) for p in parts], -1)

    @staticmethod
    def _unit(v: Any) -> Any:
        return v / (ops.sqrt(ops.sum(ops.square(v), -1, keepdims=True)) + 1e-3)


@keras.saving.register_keras_serializable(package="keyact")
class Placed(layers.Layer):
    """Key points (N, 17, 3) in pixels to (N, 17, 3): `placed` coordinates and the score."""

    def call(self, keypoints: Any) -> Any:
        score = keypoints[..., 2:]
        return ops.concatenate([placed(keypoints[..., :2], score), score], -1)
