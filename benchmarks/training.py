"""What the training loop costs beside a bare Keras loop, and what cached features save.

    python benchmarks/training.py --threads 1 --out results/training.csv

Both loops train the same network on the same ready-made arrays, an epoch of one after an epoch of
the other, so that both see the same machine; keyact's clips gradients, averages weights and
writes logs and checkpoints. Cached: an epoch of the head of keypoint-fusion on kept features,
against one with the same layers frozen that decodes, augments and looks at each photo again.
Threads are pinned as in ``benchmarks/pipeline.py``. Times are medians over the epochs after the
first, of the wall clock and of the CPU; on a busy machine only the latter means something.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 18

Row = tuple[str, str, float]  # what, unit, value
Clock = tuple[float, float]  # wall, CPU


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    _pin(options.threads)
    if options.default_memory:
        from keyact.train import engine

        engine.keep_memory = lambda: False
    with tempfile.TemporaryDirectory() as folder:
        rows = _loops(options, Path(folder)) + _cached(options, Path(folder))
    setting = (
        f"{platform.processor() or platform.machine()}, {options.threads} thread(s), Python "
        f"{platform.python_version()}, {options.size} px, batch {options.batch}"
    )
    for what, unit, value in rows:
        print(f"{what:48} {value:10.3f} {unit}")
    print(setting)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "unit", "value", "setting"])
        writer.writerows([what, unit, round(value, 4), setting] for what, unit, value in rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=128, help="side of the pictures of the loops")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8, help="batches in an epoch of the loops")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument(
        "--default-memory", action="store_true",
        help="leave glibc's settings, which keyact changes, to see what that is worth",
    )  # fmt: skip
    parser.add_argument("--photos", type=int, default=48, help="photos of the cached comparison")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "training.csv")
    return parser.parse_args(arguments)


def _pin(threads: int) -> None:
    """Bind the process to ``threads`` CPUs; must run before TensorFlow starts its threads."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < threads:
            sys.exit(f"{threads} threads asked for, {len(usable)} CPUs usable")
        os.sched_setaffinity(0, usable[:threads])
    import cv2

    cv2.setNumThreads(threads)


def _now() -> Clock:
    return time.perf_counter(), time.process_time()


class _Ready:
    """The same arrays in every epoch."""

    classes = CLASSES

    def __init__(self, options: argparse.Namespace) -> None:
        rng = np.random.default_rng(0)
        count = options.steps * options.batch
        shape = (count, options.size, options.size, 3)
        self.steps, self.size = options.steps, options.batch
        self.images = rng.integers(0, 256, shape, np.uint8)
        self.targets = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, count)]

    def batch(self, epoch: int, step: int) -> Any:
        from keyact.train import Batch

        rows = slice(step * self.size, (step + 1) * self.size)
        return Batch({"context": self.images[rows]}, self.targets[rows], np.ones(self.size, "f4"))


def _loops(options: argparse.Namespace, folder: Path) -> list[Row]:
    """An epoch of keyact's loop and one of Keras' own, in turns."""
    import keras

    from keyact import models
    from keyact.train import load_config, prepare

    config = load_config(
        epochs=options.epochs, batch=options.batch, precision="float32", monitor="loss", workers=1
    )
    prepare(config)
    net, bare = (
        models.build("mobilenetv2", CLASSES, weights=None, size=options.size) for _ in range(2)
    )
    data = _Ready(options)
    bare.compile(
        keras.optimizers.AdamW(config.rate),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )

    def bare_epoch() -> None:
        bare.fit(
            {"context": data.images}, data.targets, batch_size=options.batch, epochs=1,
            shuffle=False, verbose=0,
        )  # fmt: skip

    ours, theirs = _epochs(net, data, config, folder / "loop", between=bare_epoch)
    rows = [
        ("keyact.train.fit, epoch", "s", ours[0]),
        ("keyact.train.fit, epoch", "CPU s", ours[1]),
        ("keras.Model.fit, epoch", "s", theirs[0]),
        ("keras.Model.fit, epoch", "CPU s", theirs[1]),
    ]
    return [
        *rows,
        ("keyact over Keras (goal 1.05)", "x wall", ours[0] / theirs[0]),
        ("keyact over Keras (goal 1.05)", "x CPU", ours[1] / theirs[1]),
    ]


def _epochs(
    net: Any, data: Any, config: Any, root: Path, between: Callable[[], None] = lambda: None
) -> tuple[Clock, Clock]:
    """Median times of an epoch's steps, and of what is run between the epochs."""
    from keyact.train import RunFolder, fit

    marks: dict[str, list[Clock]] = {"begin": [_now()], "trained": [], "between": []}

    def validate(_: Any) -> Mapping[str, float]:
        marks["trained"].append(_now())
        return {"top1": 0.0}

    def after(row: dict[str, float]) -> None:
        before = _now()
        between()
        marks["between"].append(_difference(before, _now()))
        marks["begin"].append(_now())

    root.mkdir()
    fit(net, data, validate, config, RunFolder(root), on_epoch=after)
    trained = [
        _difference(start, end)
        for start, end in zip(marks["begin"][1:-1], marks["trained"][1:], strict=True)
    ]
    return _median(trained), _median(marks["between"][1:])


def _difference(start: Clock, end: Clock) -> Clock:
    return end[0] - start[0], end[1] - start[1]


def _median(times: Sequence[Clock]) -> Clock:
    wall, cpu = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(cpu)


def _cached(options: argparse.Namespace, folder: Path) -> list[Row]:
    """The head of keypoint-fusion on photos, and on kept features."""
    from keyact import models
    from keyact.train import load_config, prepare
    from keyact.train.frozen import FeatureBatches, feature_rows
    from keyact.train.photos import CROP_MARGIN, INPUTS, PhotoBatches

    photos = _photos(options.photos, folder)
    config = load_config(
        epochs=4, batch=16, freeze="features", precision="float32", monitor="loss", workers=1
    )
    prepare(config)
    net = models.build("keypoint-fusion", CLASSES, weights=None)
    size = int(net.inputs[0].shape[1])
    slow, _ = _epochs(net, PhotoBatches(photos, config, INPUTS, size), config, folder / "slow")
    before = _now()
    kept = feature_rows(net, photos, INPUTS, size, CROP_MARGIN, 1, cache=folder / "cache")
    once = _difference(before, _now())
    alone = config.model_copy(update={"freeze": None})
    head = net.get_layer("head")
    fast, _ = _epochs(head, FeatureBatches(kept, photos, config), alone, folder / "fast")
    return [
        ("frozen layers, epoch from photos", "s", slow[0]),
        ("frozen layers, epoch from photos", "CPU s", slow[1]),
        ("frozen layers, epoch from cached features", "s", fast[0]),
        ("frozen layers, epoch from cached features", "CPU s", fast[1]),
        ("computing the features, once", "CPU s", once[1]),
        ("photos over cached features (goal 5)", "x wall", slow[0] / fast[0]),
        ("photos over cached features (goal 5)", "x CPU", slow[1] / fast[1]),
    ]


def _photos(count: int, folder: Path) -> Any:
    """Photos of noise, each with one person said to be in it."""
    import cv2

    from keyact.train.photos import PhotoSet

    rng = np.random.default_rng(0)
    paths, boxes, points = [], [], []
    for i in range(count):
        path = folder / f"{i}.jpg"
        coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (320, 240)))
        paths.append(path)
        boxes.append(np.array([[80, 20, 200, 220]], np.float32))
        points.append((rng.uniform(0, 1, (1, 17, 3)) * [120, 200, 1] + [80, 20, 0]).astype("f4"))
    names = tuple(f"action {i}" for i in range(CLASSES))
    labels = np.arange(count) % CLASSES
    return PhotoSet(tuple(paths), labels, tuple(boxes), tuple(points), names)


if __name__ == "__main__":
    main()
