"""Soft labels: what linear heads on frozen features say of photos that they have not learnt from.

    python -m training.keypoint_fusion.soft_labels --people work/people/sports18.npz \
        --out work/soft.npz

A network that is trained through and through learns few photos by heart, wrong labels with them.
Linear heads on ImageNet's features do so less, and out of fold not at all: each photo is judged by
a head that saw neither it nor its near-duplicates. Two networks see photo and largest person:
MobileNetV2 and EfficientNet-Lite2 (see :mod:`training.keypoint_fusion.teacher`). What the heads say
of val, which they never saw, chooses strength and temperature. Needs ``pip install timm``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from keyact.replacing import replacing
from training.keypoint_fusion import data
from training.onnx_export import session

FOLDS = 5
STRENGTHS = 0.001, 0.003, 0.01, 0.03  # C of the logistic regression
TEMPERATURES = np.geomspace(0.3, 3, 41)
Eyes = tuple[Callable[[np.ndarray], np.ndarray], int]
"""uint8 RGB (N, S, S, 3) to features (N, D), and the side S."""


def mobilenet(shared: Path) -> Eyes:
    network = session((shared / "weights" / "mobilenetv2_imagenet_224.onnx").read_bytes())

    def see(pictures: np.ndarray) -> np.ndarray:
        scaled = (pictures.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
        return network.run(["features"], {"input": np.ascontiguousarray(scaled)})[0]

    return see, 224


def efficientnet(weights: Path | None) -> Eyes:
    import timm
    import torch

    from training.keypoint_fusion import teacher

    network = timm.create_model(teacher.NAME, pretrained=weights is None, num_classes=0).eval()
    if weights:
        teacher.imagenet(network, weights)

    @torch.inference_mode()
    def see(pictures: np.ndarray) -> np.ndarray:
        scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
        return network(scaled.contiguous(memory_format=torch.channels_last)).numpy()

    return see, 256


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


def head(strength: float):
    return make_pipeline(
        FunctionTransformer(np.sqrt),  # averages of ReLUs: many small, few large
        StandardScaler(),
        LogisticRegression(C=strength, max_iter=300),
    )


def softened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    powers = np.maximum(probabilities, 1e-9) ** (1 / temperature)
    return powers / powers.sum(1, keepdims=True)


def groups_of(photos: data.Photos, shared: Path) -> np.ndarray:
    """Which photos are near-duplicates of each other."""
    with (shared / "data" / "sports18" / "manifest.csv").open(newline="") as file:
        group = {row["path"]: row["group"] for row in csv.DictReader(file)}
    return np.array([group[path] for path in photos.paths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--weights", type=Path, help="a .pth; by default timm downloads them")
    parser.add_argument("--out", type=Path, default=Path("work/soft.npz"))
    args = parser.parse_args()
    photos = data.load(args.people, args.shared, "train")
    held_out = data.load(args.people, args.shared, "val")
    all_eyes = [mobilenet(args.shared), efficientnet(args.weights)]
    learnt, judged = (np.maximum(seen(part, all_eyes), 0) for part in (photos, held_out))
    losses = {}
    for strength in STRENGTHS:
        said = head(strength).fit(learnt, photos.labels).predict_proba(judged)
        right = (said.argmax(1) == held_out.labels).mean()
        for temperature in TEMPERATURES:
            losses[strength, temperature] = log_loss(
                held_out.labels, softened(said, temperature), labels=range(len(photos.names))
            )
        best = min(loss for (one, _), loss in losses.items() if one == strength)
        print(f"C {strength}: val top-1 {right:.4f}, log loss {best:.4f}", flush=True)
    strength, temperature = min(losses, key=losses.__getitem__)
    probabilities = np.zeros((len(photos), len(photos.names)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for fit, rest in folds.split(learnt, photos.labels, groups_of(photos, args.shared)):
        fold = head(strength).fit(learnt[fit], photos.labels[fit])
        probabilities[rest] = softened(fold.predict_proba(learnt[rest]), temperature)
    right = (probabilities.argmax(1) == photos.labels).mean()
    loss = log_loss(photos.labels, probabilities)
    print(f"C {strength}, T {temperature:.2f}: out of fold top-1 {right:.4f}, log loss {loss:.4f}")
    with replacing(args.out) as part, part.open("wb") as file:
        np.savez(file, paths=np.array(photos.paths), probabilities=probabilities.astype(np.float32))


if __name__ == "__main__":
    main()
