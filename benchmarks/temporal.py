"""Actions from key point sequences: models, what time adds, noise, early recognition.

    python benchmarks/temporal.py PENN/labels                       # everything, five seeds
    python benchmarks/temporal.py PENN/labels --only models --models tcn stgcnpp --seeds 0
    python benchmarks/temporal.py PENN/labels --only models --stage val --epochs 15

Penn Action (Zhang, Zhu and Derpanis, ICCV 2013) with its official split, or any other recordings
that `keyact.sequences` reads and that have a split ``test``. Each network is trained as
``keyact train`` does it: on the recordings that are not test, of which whole groups are held out
to choose on. Settings are compared with ``--stage val``, which never looks at the test part;
``--stage test`` then judges the files that were exported.

models      each network alone and the ensemble: parameters, multiply-accumulates, milliseconds
            a window on one core, top-1 on val and on test
trees       floors: extremely randomised trees on the same prepared key points, and with the
            extra `aeon` its MiniRocket and MultiRocket
variants    research question 2, one network on what is left of the recordings: `single` (middle
            frame), `average` (the mean pose), `shuffled` (frames in random order), `quarter` and
            `half` (of the frame rate), `motion` (no positions, only how they change), `full`; and
            of each action how many are right
noise       the trained networks on spoilt test recordings: jitter of each joint (of the body's
            size), joints not seen, frames not seen
early       the same on the first 10, 20 ... 100 % of the frames
together    the mean answer of a network's seeds, and of all networks' seeds

A row is written to --out as soon as it is known, and rows that are there are not made again, so
an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keyact.action.clips import ClipModel
from keyact.sequences import Sequence as Recording
from keyact.sequences import load_sequences

MODELS = ("tcn", "bilstm", "bigru", "ddnet", "stgcn", "stgcnpp", "ctrgcn", "act", "poseconv3d",
          "stream-ensemble")  # fmt: skip
PARTS = ("models", "trees", "variants", "noise", "early", "together")
JITTER = (0.02, 0.05, 0.1, 0.2)
JOINTS = (0.1, 0.25, 0.5)
FRAMES = (0.25, 0.5, 0.75)
SEEN = tuple(round(0.1 * i, 1) for i in range(1, 11))
COLUMNS = {
    "models": ("model", "seed", "parameters", "macs", "ms", "val_top1", "test_top1", "seconds"),
    "trees": ("model", "seed", "val_top1", "test_top1"),
    "variants": ("variant", "model", "seed", "val_top1", "test_top1"),
    "actions": ("variant", "model", "seed", "action", "recordings", "recall"),
    "noise": ("model", "seed", "noise", "amount", "test_top1"),
    "early": ("model", "seed", "seen", "test_top1"),
    "together": ("models", "files", "test_top1"),
}


class Table:
    """A CSV file that grows row by row; its first columns name a row."""

    def __init__(self, folder: Path, name: str) -> None:
        self.columns = COLUMNS[name]
        self.path = folder / f"{name}.csv"
        self.rows: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                self.rows = list(csv.DictReader(file))

    def get(self, **key: object) -> dict[str, str] | None:
        wanted = {name: str(value) for name, value in key.items()}
        return next((row for row in self.rows if wanted.items() <= row.items()), None)

    def put(self, **row: object) -> None:
        """Add a row, or fill in what was empty in one of the same key."""
        texts = {name: "" if value is None else str(value) for name, value in row.items()}
        names = [n for n in self.columns if n in texts and n not in _MEASURED]
        old = self.get(**{name: texts[name] for name in names})
        if old is None:
            self.rows.append({name: texts.get(name, "") for name in self.columns})
        else:
            old.update({name: text for name, text in texts.items() if text})
        part = self.path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(part, self.path)


_MEASURED = {
    "files",
    "parameters",
    "macs",
    "ms",
    "val_top1",
    "test_top1",
    "seconds",
    "recordings",
    "recall",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--variant-model", choices=MODELS, default="tcn")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--stage", choices=("val", "test"), default="test")
    parser.add_argument("--epochs", type=int, help="the models' own by default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("results/temporal"))
    parser.add_argument("--runs", type=Path, default=Path("work/runs-temporal"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recordings = load_sequences(options.data)
    for part in options.only:
        PART[part](recordings, options)
    report(options.out)


def models(recordings: list[Recording], options: argparse.Namespace) -> None:
    from keyact.evaluate.cost import measure_size

    table = Table(options.out, "models")
    for name in options.models:
        for seed in options.seeds:
            row = table.get(model=name, seed=seed)
            if row is not None and (options.stage == "val" or row["test_top1"]):
                continue
            file, found, seconds = trained(recordings, name, seed, "full", options)
            if row is None:
                size = measure_size(file, "sequence")
                table.put(
                    model=name,
                    seed=seed,
                    parameters=size.parameters,
                    macs=size.macs,
                    ms=milliseconds(file),
                    val_top1=found["top1"],
                    seconds=seconds,
                )
            if options.stage == "test":
                value, _ = judge(file, test_of(recordings))
                table.put(model=name, seed=seed, test_top1=value)


def trees(recordings: list[Recording], options: argparse.Namespace) -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    from keyact.models.baselines import baseline, series
    from keyact.sequences import Features, skeleton_of
    from keyact.train.sequence_data import with_val

    short, long = (
        Features(skeleton_of(recordings), recordings[0].dims, frames, ("joint", "score"))
        for frames in (16, 48)
    )
    # Name: what makes the classifier of a seed, what it sees.
    floors: dict[str, tuple[Callable[[int], Any], Callable[[Sequence[Recording]], Any]]] = {
        "extra-trees": (
            lambda seed: ExtraTreesClassifier(500, random_state=seed, n_jobs=1),
            lambda some: series(some, short).reshape(len(some), -1),
        )
    }
    if importlib.util.find_spec("aeon"):
        for name in ("minirocket", "multirocket"):
            floors[name] = (
                lambda seed, name=name: baseline(name, seed),
                lambda some: series(some, long),
            )
    table = Table(options.out, "trees")
    train, val, _ = with_val(recordings, 0.2, 0)

    def top1(make: Any, see: Any, learnt: list[Recording], asked: list[Recording]) -> float:
        names = [np.array([str(r.label) for r in some]) for some in (learnt, asked)]
        right = make.fit(see(learnt), names[0]).predict(see(asked)) == names[1]
        return round(float(right.mean()), 4)

    for name, (make, see) in floors.items():
        for seed in options.seeds:
            key = {"model": name, "seed": seed}
            row = table.get(**key)
            if row is None:
                table.put(**key, val_top1=top1(make(seed), see, train, val))
            if options.stage == "test" and not (row and row["test_top1"]):
                value = top1(make(seed), see, [*train, *val], test_of(recordings))
                table.put(**key, test_top1=value)


def variants(recordings: list[Recording], options: argparse.Namespace) -> None:
    table, actions = Table(options.out, "variants"), Table(options.out, "actions")
    name = options.variant_model
    for variant, change in VARIANTS.items():
        for seed in options.seeds:
            key = {"variant": variant, "model": name, "seed": seed}
            row = table.get(**key)
            if row is not None and (options.stage == "val" or row["test_top1"]):
                continue
            rng = np.random.default_rng(seed)
            left = [change(recording, rng) for recording in recordings]
            file, found, _ = trained(left, name, seed, variant, options)
            table.put(**key, val_top1=found["top1"])
            if options.stage != "test":
                continue
            value, right = judge(file, test_of(left))
            for action, hits in right.items():
                recall = round(float(np.mean(hits)), 4)
                actions.put(**key, action=action, recordings=len(hits), recall=recall)
            table.put(**key, test_top1=value)


def noise(recordings: list[Recording], options: argparse.Namespace) -> None:
    table = Table(options.out, "noise")
    kinds: tuple[tuple[str, tuple[float, ...], Callable[..., Recording]], ...] = (
        ("jitter", (0.0, *JITTER), jittered),
        ("joints", JOINTS, joints_lost),
        ("frames", FRAMES, frames_lost),
    )
    for name, seed, file in exported(options):
        for kind, amounts, spoil in kinds:
            for amount in amounts:
                key = {"model": name, "seed": seed, "noise": kind, "amount": amount}
                if table.get(**key) is None:
                    rng = np.random.default_rng(0)
                    spoilt = [spoil(r, amount, rng) for r in test_of(recordings)]
                    table.put(**key, test_top1=judge(file, spoilt)[0])


def early(recordings: list[Recording], options: argparse.Namespace) -> None:
    table = Table(options.out, "early")
    for name, seed, file in exported(options):
        for share in SEEN:
            key = {"model": name, "seed": seed, "seen": share}
            if table.get(**key) is None:
                begun = [r.cut(0, max(1, round(share * len(r)))) for r in test_of(recordings)]
                table.put(**key, test_top1=judge(file, begun)[0])


def together(recordings: list[Recording], options: argparse.Namespace) -> None:
    table = Table(options.out, "together")
    asked = test_of(recordings)
    names = [str(recording.label) for recording in asked]
    answers: dict[str, list[np.ndarray]] = defaultdict(list)
    for name, _, file in exported(options):
        model = ClipModel(file, threads=1)
        order = [model.labels.index(label) for label in sorted(model.labels)]
        answers[name].append(model.predict(asked)[:, order])
        labels = sorted(model.labels)
    groups = {name: rows for name, rows in answers.items() if len(rows) > 1}
    if len(answers) > 1:
        groups["+".join(answers)] = [row for rows in answers.values() for row in rows]
    for name, rows in groups.items():
        best = np.mean(rows, 0).argmax(1)
        share = np.mean([labels[i] == label for i, label in zip(best, names, strict=True)])
        table.put(models=name, files=len(rows), test_top1=round(float(share), 4))


PART = {
    "models": models,
    "trees": trees,
    "variants": variants,
    "noise": noise,
    "early": early,
    "together": together,
}


def trained(
    recordings: list[Recording], name: str, seed: int, variant: str, options: argparse.Namespace
) -> tuple[Path, dict[str, float], float]:
    """The exported file of a run, made now or before, its figures on val and its seconds."""
    import json

    from keyact.train.config import load_config, parse_value
    from keyact.train.photo_run import defaults
    from keyact.train.run import RunFolder
    from keyact.train.sequence_run import run_sequences

    alone = "-val" if options.stage == "val" else ""  # without what was held out, so another file
    run = RunFolder(options.runs / f"{name}-{variant}-{seed}{alone}")
    spent = run.root / "seconds.txt"
    if not spent.exists():
        run.root.mkdir(parents=True, exist_ok=True)
        settings = dict(text.split("=", 1) for text in options.set)
        values: dict[str, Any] = {**defaults(name), "seed": seed, "tensorboard": False}
        values |= {key: parse_value(value) for key, value in settings.items()}
        if options.epochs:
            values["epochs"] = options.epochs
        if variant == "motion":
            values["sequence.streams"] = ["joint_motion", "bone_motion", "score"]
        if options.stage == "val":
            values["sequence.refit"] = False
        config = load_config(**values)
        began = time.perf_counter()
        learnt = [r for r in recordings if r.split != "test"]
        run_sequences(
            learnt, name, config, run, resume=run.checkpoint.exists(), say=print,
            on_epoch=lambda row: print(f"{name} {variant} {seed}: {_short(row)}", flush=True),
        )  # fmt: skip
        spent.write_text(f"{time.perf_counter() - began:.0f}", "utf-8")
    found: dict[str, float] = json.loads(run.metrics.read_text("utf-8"))
    return run.model, found, float(spent.read_text("utf-8"))


def exported(options: argparse.Namespace) -> Iterator[tuple[str, int, Path]]:
    """Trained files that there are."""
    for name in options.models:
        for seed in options.seeds:
            run = options.runs / f"{name}-full-{seed}"
            if (run / "seconds.txt").exists():
                yield name, seed, run / "model.onnx"


def test_of(recordings: Sequence[Recording]) -> list[Recording]:
    found = [recording for recording in recordings if recording.split == "test"]
    if not found:
        raise SystemExit("no recording is of the split test")
    return found


def judge(file: Path, recordings: Sequence[Recording]) -> tuple[float, dict[str, list[bool]]]:
    """Top-1, and of each action which recordings are right."""
    model = ClipModel(file, threads=1)
    best = model.predict(recordings).argmax(1)
    right = defaultdict(list)
    for recording, answer in zip(recordings, best.tolist(), strict=True):
        right[str(recording.label)].append(model.labels[answer] == recording.label)
    share = np.mean([hit for hits in right.values() for hit in hits])
    return round(float(share), 4), dict(right)


def milliseconds(file: Path, runs: int = 50) -> float:
    """Median of one window on one core, preparation not included."""
    model = ClipModel(file, threads=1)
    window = np.random.default_rng(0).normal(0, 1, (1, *model.features.shape)).astype(np.float32)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        model.windows(window)
        times.append(time.perf_counter() - began)
    return round(1e3 * float(np.median(times)), 3)


def _frames(recording: Recording, chosen: Sequence[int] | np.ndarray, rate: float) -> Recording:
    at = np.asarray(chosen)
    return replace(
        recording,
        keypoints=recording.keypoints[:, at],
        scores=recording.scores[:, at],
        mask=recording.mask[:, at],
        fps=None if recording.fps is None else recording.fps * rate,
    )


def _average(recording: Recording) -> Recording:
    """One frame: where each joint is on the mean, of the frames in which it was placed."""
    weight = recording.scores[..., None]
    total = np.maximum(weight.sum(1, keepdims=True), 1e-6)
    return replace(
        recording,
        keypoints=(recording.keypoints * weight).sum(1, keepdims=True) / total,
        scores=recording.scores.mean(1, keepdims=True),
        mask=recording.mask.any(1, keepdims=True),
    )


VARIANTS: dict[str, Callable[[Recording, np.random.Generator], Recording]] = {
    "single": lambda r, rng: _frames(r, [len(r) // 2], 1),
    "average": lambda r, rng: _average(r),
    "shuffled": lambda r, rng: _frames(r, rng.permutation(len(r)), 1),
    "quarter": lambda r, rng: _frames(r, range(0, len(r), 4), 0.25),
    "half": lambda r, rng: _frames(r, range(0, len(r), 2), 0.5),
    "motion": lambda r, rng: r,
    "full": lambda r, rng: r,
}


def jittered(recording: Recording, amount: float, rng: np.random.Generator) -> Recording:
    """Noise of ``amount`` body sizes, the size being the spread of the joints."""
    seen = recording.keypoints[recording.scores > 0]
    size = float(seen.std(0).mean()) if len(seen) else 0.0
    moved = recording.keypoints + rng.normal(0, amount * size, recording.keypoints.shape)
    return replace(recording, keypoints=moved)


def joints_lost(recording: Recording, amount: float, rng: np.random.Generator) -> Recording:
    lost = rng.random(recording.scores.shape) < amount
    return replace(recording, scores=np.where(lost, 0, recording.scores))


def frames_lost(recording: Recording, amount: float, rng: np.random.Generator) -> Recording:
    lost = rng.random(len(recording)) < amount
    lost[rng.integers(len(recording))] = False
    return replace(recording, scores=np.where(lost[None, :, None], 0, recording.scores))


def _short(row: dict[str, float]) -> str:
    return " ".join(f"{k} {v:.4g}" for k, v in row.items() if k in ("epoch", "loss", "val_top1"))


def report(folder: Path) -> None:
    """Means and deviations over the seeds."""
    for name, key in (
        ("trees", ("model",)), ("models", ("model",)), ("variants", ("variant", "model")),
        ("noise", ("model", "noise", "amount")), ("early", ("model", "seen")),
        ("together", ("models",)),
    ):  # fmt: skip
        found: dict[tuple[str, ...], dict[str, list[float]]] = {}
        for row in Table(folder, name).rows:
            values = found.setdefault(tuple(row[k] for k in key), defaultdict(list))
            for figure in ("val_top1", "test_top1", "parameters", "macs", "ms"):
                if row.get(figure):
                    values[figure].append(float(row[figure]))
        if found:
            print(f"\n{name}")
        for group, values in found.items():
            figures = [_figure(figure, numbers) for figure, numbers in values.items()]
            print(f"{' '.join(group):32s} {'  '.join(figures)}")


def _figure(name: str, numbers: list[float]) -> str:
    if name.endswith("top1"):
        spread = f" ± {np.std(numbers, ddof=1):.4f}" if len(numbers) > 1 else ""
        return f"{name} {np.mean(numbers):.4f}{spread} (n={len(numbers)})"
    return f"{name} {np.mean(numbers):.3g}"


if __name__ == "__main__":
    main()
