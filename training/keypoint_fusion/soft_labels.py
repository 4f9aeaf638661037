"""Soft labels: what linear heads on frozen features say of photos that they have not learnt from.

    python -m training.keypoint_fusion.soft_labels --people work/people/sports18.npz \
        --out work/soft.npz

A network that is trained through and through learns few photos by heart, wrong labels with them.
Linear heads on ImageNet's features do so less, and out of fold not at all: each photo is judged by
a head that saw neither it nor its near-duplicates. Two networks see photo and largest person:
MobileNetV2 and EfficientNet-Lite2 (see :mod:`training.keypoint_fusion.scene`). What the heads say
of val, which they never saw, chooses strength and temperature.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from keyact.action.keypoint_fusion import softmax
from keyact.replacing import replacing
from keyact.train.calibration import best_temperature, log_loss
from training.keypoint_fusion import data, scene
from training.onnx_export import session

FOLDS = 5
STRENGTHS = 0.001, 0.003, 0.01, 0.03  # C of the logistic regression
VIEW = 256  # pixels of EfficientNet-Lite2's pictures
Eyes = tuple[Callable[[np.ndarray], np.ndarray], int]
"""uint8 RGB (N, S, S, 3) to features (N, D), and the side S."""


def mobilenet(shared: Path) -> Eyes:
    network = session((shared / "weights" / "mobilenetv2_imagenet_224.onnx").read_bytes())

    def see(pictures: np.ndarray) -> np.ndarray:
        scaled = (pictures.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
        return network.run(["features"], {"input": np.ascontiguousarray(scaled)})[0]

    return see, 224


def efficientnet(weights: Path | None) -> Eyes:
    network = scene.imagenet(weights)

    def see(pictures: np.ndarray) -> np.ndarray:
        scaled = pictures.astype(np.float32) / 127.5 - 1
        return np.asarray(ops.convert_to_numpy(network(scaled, training=False)))

    return see, VIEW


def seen(photos: data.Photos, all_eyes: list[Eyes]) -> np.ndarray:
    """(N, D) features of the photo and its largest person."""
    rows = []
    for i in range(len(photos)):
        parts = []
        for see, side in all_eyes:
            context, crops, _ = data.samples_of(photos, i, size=side)
            parts.append(see(np.stack([context[0], crops[0]])).ravel())
        rows.append(np.concatenate(parts))
    return np.stack(rows)


def head(strength: float) -> Pipeline:
    """A linear layer on features, to be fitted."""
    return make_pipeline(
        FunctionTransformer(np.sqrt),  # averages of ReLUs: many small, few large
        StandardScaler(),
        LogisticRegression(C=strength, max_iter=300),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--weights", type=Path, help="a .pth; by default the package's")
    parser.add_argument("--out", type=Path, default=Path("work/soft.npz"))
    args = parser.parse_args()
    photos = data.load(args.people, args.shared, "train")
    held_out = data.load(args.people, args.shared, "val")
    all_eyes = [mobilenet(args.shared), efficientnet(args.weights)]
    learnt, judged = (np.maximum(seen(part, all_eyes), 0) for part in (photos, held_out))
    tried = []
    for strength in STRENGTHS:
        logits = head(strength).fit(learnt, photos.labels).predict_log_proba(judged)
        temperature = best_temperature(logits, held_out.labels)
        loss = log_loss(logits, held_out.labels, temperature)
        right = (logits.argmax(1) == held_out.labels).mean()
        print(f"C {strength}: val top-1 {right:.4f}, log loss {loss:.4f}", flush=True)
        tried.append((loss, strength, temperature))
    _, strength, temperature = min(tried)
    rows = data.manifest(args.shared)
    groups = [rows[path]["group"] for path in photos.paths]
    logits = np.zeros((len(photos), len(photos.names)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for fit, rest in folds.split(learnt, photos.labels, groups):
        fold = head(strength).fit(learnt[fit], photos.labels[fit])
        logits[rest] = fold.predict_log_proba(learnt[rest])
    right = (logits.argmax(1) == photos.labels).mean()
    loss = log_loss(logits, photos.labels, temperature)
    print(f"C {strength}, T {temperature:.2f}: out of fold top-1 {right:.4f}, log loss {loss:.4f}")
    probabilities = softmax(logits / temperature)
    with replacing(args.out) as part, part.open("wb") as file:
        np.savez(file, paths=np.array(photos.paths), probabilities=probabilities)


if __name__ == "__main__":
    main()
