"""keypoints-mlp: the normalised pose through a small perceptron; no pixel is looked at."""

from __future__ import annotations

import keras
from keras import layers

from keyact.models.pose_features import JOINTS, PoseFeatures

DEFAULTS = {"backbone_rate": 1.0}


def build(
    labels: int,
    weights: str | None = None,
    *,
    width: int = 256,
    depth: int = 2,
    dropout: float = 0.4,
) -> keras.Model:
    """See `keyact.models`; ``weights`` is not used, there are no pretrained ones.

    Parameters
    ----------
    width, depth : of the hidden layers.
    """
    points = keras.Input((JOINTS, 3), name="keypoints", dtype="float32")
    pose = PoseFeatures(dtype="float32", name="pose_features")(points)
    looking = keras.Model({"keypoints": points}, {"pose": pose}, name="features")
    x = seen = keras.Input(pose.shape[1:], name="pose")
    for i in range(depth):
        x = layers.Dense(width, name=f"hidden{i}")(x)
        x = layers.Activation("relu")(layers.LayerNormalization(name=f"norm{i}")(x))
        x = layers.Dropout(dropout)(x)
    logits = layers.Dense(labels, dtype="float32", name="logits")(x)
    head = keras.Model({"pose": seen}, logits, name="head")
    inputs = {"keypoints": points}
    return keras.Model(inputs, head(looking(inputs)), name="keypoints_mlp")
