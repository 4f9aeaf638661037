"""From the logits of each person to one verdict for the photo, and how good the verdicts are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops

from keyact import evaluate
from keyact.action.keypoint_fusion import KeypointFusion, softmax
from keyact.runtime import OnnxModel
from keyact.train.calibration import photo_logits
from training.keypoint_fusion import data

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def from_keras(net) -> Predict:
    def predict(context: np.ndarray, crop: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        scaled = (np.asarray(x, np.float32) / 127.5 - 1 for x in (context, crop))
        return ops.convert_to_numpy(net([*scaled, keypoints], training=False))

    return predict


def logits_of(
    predict: Predict, photos: data.Photos, batch: int = 48, size: int = data.SIZE
) -> list[np.ndarray]:
    """Per photo the logits (n, C) of its people, largest first; (1, C) where there are none."""
    logits: list[np.ndarray] = []
    waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def flush() -> None:
        if not waiting:
            return
        out = predict(*(np.concatenate(column) for column in zip(*waiting, strict=True)))
        ends = np.cumsum([len(w[0]) for w in waiting])[:-1]
        logits.extend(np.split(out, ends))
        waiting.clear()

    for i in range(len(photos)):
        waiting.append(data.samples_of(photos, i, size=size))
        if sum(len(w[0]) for w in waiting) >= batch:
            flush()
    flush()
    return logits


def of_file(file: bytes, photos: data.Photos) -> list[np.ndarray]:
    """:func:`logits_of` of an ONNX file, as keyact runs it."""
    network = KeypointFusion(OnnxModel(file), "candidate")
    people = zip(photos.images, photos.boxes, photos.keypoints, strict=True)
    return [network.logits(*one) for one in people]


def probabilities(logits: list[np.ndarray], meta: dict) -> np.ndarray:
    """The photos' verdicts (N, C)."""
    return softmax(photo_logits(logits) / meta["photo_temperature"])


def figures(logits: list[np.ndarray], photos: data.Photos, meta: dict) -> dict[str, object]:
    """Accuracy, calibration and coverage of the photo verdicts."""
    return evaluate.figures(
        evaluate.Predictions(
            labels=photos.names,
            paths=tuple(photos.paths),
            targets=photos.labels,
            probabilities=probabilities(logits, meta),
            attributes={"people": np.array([len(boxes) for boxes in photos.boxes])},
            unknown_threshold=meta["unknown_threshold"],
        )
    )
