"""How often a photo of something else gets the name of a sport all the same.

    python benchmarks/strangers.py --out results/strangers.csv

The shipped model knows 18 sports. Gym exercises and yoga poses are none of them, though some look
like weight lifting or gymnastics; sports18's val photos stand beside them. Nothing is chosen here.

named       share of the photos whose action isn't "unknown"
sure        share whose likeliest action has a probability of at least .9
mean        mean probability of the likeliest action
auroc       how often a photo of val has a larger one than a photo of the set, ties half
most, of    the name that is given most often, and its share of all names
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from keyact import Recognizer
from keyact.replacing import replacing
from keyact.results import UNKNOWN

ROOT = Path(__file__).resolve().parents[1]
SETS = {"sports18": "val", "exercises": None, "yoga8": None}  # and the split that is taken
SURE = 0.9
COLUMNS = ("set", "split", "photos", "named", "sure", "mean", "auroc", "most", "of")


def main(arguments: Sequence[str] | None = None) -> None:
    shared = Path(os.environ.get("KEYACT_SHARED", ROOT.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--limit", type=int, default=400, help="photos of each set, at random")
    parser.add_argument("--model", default="keypoint-fusion", help="a name, or an ONNX file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "strangers.csv")
    options = parser.parse_args(arguments)
    recognizer = Recognizer(options.model, threads=options.threads)
    rows, known = [], np.zeros(0)
    for name, split in SETS.items():
        photos = chosen(options.data / name, split, options.limit)
        names, probabilities = [], []
        for photo in photos:
            found = recognizer(photo)
            names.append(found.image_action)
            probabilities.append(found.image_actions[0].probability)
        top = np.array(probabilities)
        known = known if len(known) else top
        given = Counter(one for one in names if one != UNKNOWN)
        most, times = given.most_common(1)[0] if given else ("", 0)
        figures = given.total() / len(top), (top >= SURE).mean(), top.mean()
        rows.append(
            (name, split or "all", len(top), *(f"{one:.3f}" for one in figures),
             f"{above(known, top):.3f}", most, f"{times / max(given.total(), 1):.3f}")
        )  # fmt: skip
        print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
    with replacing(options.out) as part, part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def chosen(folder: Path, split: str | None, limit: int) -> list[Path]:
    """Some of a set's photos, the same each time."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if split in (None, row.get("split"))]
    order = np.random.default_rng(0).permutation(len(rows))[:limit]
    return [folder / rows[i]["path"] for i in sorted(order.tolist())]


def above(known: np.ndarray, others: np.ndarray) -> float:
    """Area under the ROC curve of telling ``known`` from ``others``."""
    return float(roc_auc_score([1] * len(known) + [0] * len(others), [*known, *others]))


if __name__ == "__main__":
    main()
