"""Models on a small data set: grouped k-fold cross-validation through `keyact.train`.

    python benchmarks/folds.py ../shared/data/yoga8 --model keypoint-fusion --model keypoints-mlp \
        --out results/yoga8.csv

What is frozen is computed once (``frozen``: MobileNetV2 as ImageNet left it), each fold trains a
head, chooses its epoch on the fold's own val part, and is judged on the photos it never saw, by
the exported file. Groups (near-duplicates, subjects) stay together. A row for each fold, and one
for all photos together with its 95 % interval (bootstrap over groups) and, for every further
model, McNemar's p against the first. A run that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np

import keyact
from keyact import action, evaluate
from keyact.data import load_dataset
from keyact.data.people import find_people
from keyact.data.splits import make_splits
from keyact.evaluate.metrics import METRICS

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", help="several times for several models")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=ROOT / "work" / "folds")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "folds.csv")
    args = parser.parse_args()
    dataset = load_dataset(args.data)
    folds = make_splits(dataset, "k-fold", k=args.folds, seed=args.seed)
    rows: list[dict[str, object]] = []
    first: evaluate.Predictions | None = None
    for model in args.model or ["keypoint-fusion", "keypoints-mlp"]:
        parts = []
        for number, fold in enumerate(folds, 1):
            name = f"{dataset.name}-{model}-s{args.seed}-{number}"
            trained = args.runs / name / "model.onnx"
            if not (args.runs / name / "metrics.json").exists():
                shutil.rmtree(args.runs / name, ignore_errors=True)  # one that was stopped
                trained = keyact.train(
                    fold, model, name=name, runs=args.runs, frozen=True, epochs=args.epochs,
                    warmup_steps=20, seed=args.seed, tensorboard=False,
                ).model  # fmt: skip
            test = fold.subset("test")
            people = find_people(evaluate.photos_of(test), jobs=1)
            parts.append(evaluate.predict_dataset(action.load(trained), test, people))
            rows.append(row(model, str(number), parts[-1]))
            print(rows[-1], flush=True)
        together = joined(parts)
        rows.append(row(model, "all", together))
        interval = evaluate.bootstrap(together, METRICS["top1"])
        rows[-1] |= {"top1_low": round(interval.low, 4), "top1_high": round(interval.high, 4)}
        if first is not None:
            rows[-1]["mcnemar_p"] = float(f"{evaluate.mcnemar(together, first).p:.3g}")
        first = first or together
        print(rows[-1], flush=True)
        write(args.out, rows)


def row(model: str, fold: str, found: evaluate.Predictions) -> dict[str, object]:
    names = ("top1", "balanced_accuracy", "macro_f1", "ece")
    figures = {name: round(METRICS[name](found), 4) for name in names}
    return {"model": model, "fold": fold, "photos": len(found), **figures}


def joined(parts: list[evaluate.Predictions]) -> evaluate.Predictions:
    """The photos of all folds, each judged by the model that had not seen it, in one order."""
    groups = [part.groups or part.paths for part in parts]
    whole = evaluate.Predictions(
        labels=parts[0].labels,
        paths=tuple(path for part in parts for path in part.paths),
        targets=np.concatenate([part.targets for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        groups=tuple(group for each in groups for group in each),
        model=parts[0].model,
        dataset=parts[0].dataset,
    )
    return whole.take(np.argsort(np.array(whole.paths)))


def write(out: Path, rows: list[dict[str, object]]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for one in rows for name in one))
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
