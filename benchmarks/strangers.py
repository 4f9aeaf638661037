"""How often a photo of something else gets the name of a sport all the same.

    python benchmarks/strangers.py --out results/strangers.csv

The shipped model knows 18 sports. Gym exercises, yoga poses and clips of people who walk, exercise
or play golf are none of them, though some look like weight lifting or gymnastics; sports18's val
photos stand beside them. The model's gate learnt from other exercises of the same collection, and
its threshold was chosen on val and on these; of yoga and of the clips it has seen nothing. Frames
of one clip are much alike.

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
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from keyact import Recognizer  # noqa: E402
from keyact.media.video import iter_frames  # noqa: E402
from keyact.replacing import replacing  # noqa: E402
from keyact.results import UNKNOWN  # noqa: E402
from training.keypoint_fusion import data, strangers  # noqa: E402

CLIPS = ("cvzmh_fun_theory.mp4", "exercise.avi", "golfdb_test_video.mp4", "sportwithai_walk.mp4")
EVERY = 10  # frames
SURE = 0.9
COLUMNS = ("set", "split", "photos", "named", "sure", "mean", "auroc", "most", "of")


def main(arguments: Sequence[str] | None = None) -> None:
    default = Path(os.environ.get("KEYACT_SHARED", ROOT.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=default)
    parser.add_argument("--limit", type=int, default=400, help="photos of each set, at random")
    parser.add_argument("--model", default="keypoint-fusion", help="a name, or an ONNX file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "strangers.csv")
    options = parser.parse_args(arguments)
    recognizer = Recognizer(options.model, threads=options.threads)
    rows, known = [], np.zeros(0)
    sets = {
        ("sports18", "val"): split_of(options.shared, "sports18", "val"),
        ("exercises", "val"): exercises(options.shared),
        ("yoga8", "all"): split_of(options.shared, "yoga8", None),
        ("clips", "all"): list(frames(options.shared / "data" / "media" / "video")),
    }
    for (name, split), photos in sets.items():
        names, probabilities = [], []
        for photo in chosen(photos, options.limit):
            found = recognizer(photo)
            names.append(found.image_action)
            probabilities.append(found.image_actions[0].probability)
        top = np.array(probabilities)
        known = known if len(known) else top
        given = Counter(one for one in names if one != UNKNOWN)
        most, times = given.most_common(1)[0] if given else ("", 0)
        figures = given.total() / len(top), (top >= SURE).mean(), top.mean()
        rows.append(
            (name, split, len(top), *(f"{one:.3f}" for one in figures),
             f"{above(known, top):.3f}", most, f"{times / max(given.total(), 1):.3f}")
        )  # fmt: skip
        print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
    with replacing(options.out) as part, part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def split_of(shared: Path, name: str, split: str | None) -> list[Path]:
    rows, root = data.manifest(shared, name), shared / "data" / name
    return [root / path for path, row in rows.items() if split in (None, row["split"])]


def exercises(shared: Path) -> list[Path]:
    """Those that the gate was chosen on, not those it learnt from."""
    part = strangers.parts(data.manifest(shared, strangers.DATASET))
    root = shared / "data" / strangers.DATASET
    return [root / path for path in part if part[path] == "val"]


def frames(folder: Path) -> Iterator[np.ndarray]:
    for clip in CLIPS:
        yield from (picture for _, _, picture in iter_frames(folder / clip, EVERY))


def chosen(photos: list[Path] | list[np.ndarray], limit: int) -> list[Path | np.ndarray]:
    """Some of them, the same each time, in their order."""
    order = np.random.default_rng(0).permutation(len(photos))[:limit]
    return [photos[i] for i in sorted(order.tolist())]


def above(known: np.ndarray, others: np.ndarray) -> float:
    """Area under the ROC curve of telling ``known`` from ``others``."""
    return float(roc_auc_score([1] * len(known) + [0] * len(others), [*known, *others]))


if __name__ == "__main__":
    main()
