"""keypoints-gcn: graph convolutions over the joints of one pose; no pixel is looked at.

Each layer mixes every joint with itself and its neighbours on the skeleton, as the spatial part of
ST-GCN does (Yan et al., AAAI 2018), and through a learned matrix with any other joint, as in
2s-AGCN (Shi et al., CVPR 2019).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keyact.layouts import get_layout
from keyact.models.pose_features import JOINTS, Placed

DEFAULTS = {"backbone_rate": 1.0}


@keras.saving.register_keras_serializable(package="keyact")
class JointMixing(layers.Layer):
    """Joints (N, 17, C) to (N, 17, width): itself, its neighbours and a learned mix of all."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width

    def build(self, shape: Any) -> None:
        bones = np.array(get_layout("coco17").edges)
        near = np.zeros((JOINTS, JOINTS), np.float32)
        near[bones[:, 0], bones[:, 1]] = near[bones[:, 1], bones[:, 0]] = 1
        near /= np.maximum(near.sum(1, keepdims=True), 1)
        self._fixed = np.stack([np.eye(JOINTS, dtype=np.float32), near])
        self.learned = self.add_weight(
            shape=(2, JOINTS, JOINTS), name="learned", initializer="zeros"
        )
        self.dense = layers.Dense(self.width, name="dense", dtype=self.dtype_policy)
        self.dense.build((None, JOINTS, 2 * shape[-1]))

    def call(self, x: Any) -> Any:
        mixing = ops.cast(self.learned, x.dtype) + ops.cast(self._fixed, x.dtype)
        mixed = [ops.matmul(mixing[i], x) for i in range(2)]
        return self.dense(ops.concatenate(mixed, -1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def build(
    labels: int,
    weights: str | None = None,
    *,
    widths: tuple[int, ...] = (64, 128, 128),
    dropout: float = 0.3,
) -> keras.Model:
    """See `keyact.models`; ``weights`` is not used, there are no pretrained ones.

    Parameters
    ----------
    widths : channels of the layers.
    """
    points = keras.Input((JOINTS, 3), name="keypoints", dtype="float32")
    joints = Placed(dtype="float32", name="placed")(points)
    looking = keras.Model({"keypoints": points}, {"joints": joints}, name="features")
    x = seen = keras.Input(joints.shape[1:], name="joints")
    for i, width in enumerate(widths):
        y = JointMixing(width, name=f"mix{i}")(x)
        y = layers.Activation("relu")(layers.LayerNormalization(name=f"norm{i}")(y))
        y = layers.Dropout(dropout)(y)
        x = layers.Add()([x, y]) if x.shape[-1] == width else y
    pooled = layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    )
    logits = layers.Dense(labels, dtype="float32", name="logits")(pooled)
    head = keras.Model({"joints": seen}, logits, name="head")
    inputs = {"keypoints": points}
    return keras.Model(inputs, head(looking(inputs)), name="keypoints_gcn")
