"""A tiny training that the engine's tests share; also run alone, with another Keras backend.

KERAS_BACKEND=torch python tests/train/engine_case.py FOLDER
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from keyact.train import Batch, History, RunFolder, fit, load_config, prepare

SETTINGS: dict[str, Any] = {
    "epochs": 4,
    "batch": 16,
    "rate": 0.05,
    "warmup_steps": 4,
    "monitor": "val_loss",
    "freeze": "features",
    "unfreeze": {2: None},
    "tensorboard": False,
}
CLASSES = 3


class Stopped(Exception):
    """The process is killed here."""


class Clouds:
    """Three noisy clouds of points in eight dimensions, told apart by the first three."""

    steps, classes = 6, CLASSES

    def batch(self, epoch: int, step: int) -> Batch:
        rng = np.random.default_rng([7, epoch, step])
        labels = rng.integers(0, CLASSES, 16)
        x = rng.normal(size=(16, 8)).astype(np.float32)
        x[np.arange(16), labels] += 3
        return Batch({"x": x}, np.eye(CLASSES, dtype=np.float32)[labels], np.ones(16, np.float32))


def network() -> Any:
    """Two parts, as photo models have them, with dropout and batch norm."""
    import keras
    from keras import layers

    x = keras.Input((8,), name="x")
    hidden = layers.Dense(16, activation="relu", name="hidden")(x)
    features = keras.Model({"x": x}, {"seen": hidden}, name="features")
    seen = keras.Input((16,), name="seen")
    norm = layers.BatchNormalization(name="norm")(seen)
    logits = layers.Dense(CLASSES, name="logits")(layers.Dropout(0.3, name="drop")(norm))
    head = keras.Model({"seen": seen}, logits, name="head")
    return keras.Model({"x": x}, head(features({"x": x})), name="clouds")


def validate(net: Any) -> dict[str, float]:
    held_out = Clouds().batch(99, 0)
    logits = np.asarray(net.predict_on_batch(held_out.inputs))
    right = logits.argmax(1) == held_out.targets.argmax(1)
    shifted = logits - logits.max(1, keepdims=True)
    each = np.log(np.exp(shifted).sum(1)) - (shifted * held_out.targets).sum(1)
    return {"top1": float(right.mean()), "loss": float(each.mean())}


def train(
    folder: Path, name: str, *, stop: int = 0, resume: bool = False, **settings: Any
) -> tuple[list[np.ndarray], History]:
    """Weights and history; ``stop`` kills the training after that epoch."""
    from keras import ops

    config = load_config(**{**SETTINGS, **settings})
    prepare(config)
    net = network()
    run = RunFolder.create(name, folder, resume=resume)
    run.write_bytes(run.config, config.dump().encode())

    def after(row: dict[str, float]) -> None:
        if row["epoch"] == stop:
            raise Stopped

    history = fit(net, Clouds(), validate, config, run, resume=resume, on_epoch=after)
    return [np.asarray(ops.convert_to_numpy(w)) for w in net.weights], history


def resumed_equals_uninterrupted(folder: Path, stop: int) -> float:
    """The largest difference of a weight, with and without a break after epoch ``stop``."""
    if not (folder / "whole.npz").exists():
        weights, _ = train(folder, "whole")
        np.savez(folder / "whole.npz", *weights)
    with contextlib.suppress(Stopped):
        train(folder, f"stopped{stop}", stop=stop)
    weights, history = train(folder, f"stopped{stop}", resume=True)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
    whole = np.load(folder / "whole.npz")
    return max(
        float(np.abs(a - whole[key]).max()) for a, key in zip(weights, whole.files, strict=True)
    )


if __name__ == "__main__":
    print(resumed_equals_uninterrupted(Path(sys.argv[1]), 1))
