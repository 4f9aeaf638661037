"""What the key points add: the head trained on cached features of the untouched MobileNetV2.

    python -m training.keypoint_fusion.frozen --people work/people/sports18.npz \
        --out results/keypoint_ablation.csv

The same training three times over (seeds 0, 1, 2) for each set of branches: photo alone, photo
and person, and those with the key points. Features are computed once and cached (minutes), the
head trains in seconds. The epoch is chosen on val; test is read once per run and chooses nothing.
Gained and lost photos, and McNemar's exact p, compare what most seeds get right.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import keras
import numpy as np
from scipy.stats import binomtest

from training.backbone import initial_weights
from training.keypoint_fusion import data, model, verdict

KEYS = ("context", "crop", "attended", "fine")
EPOCHS, BATCH, RATE = 24, 128, 1e-3
VARIANTS = {
    "photo": {"keypoints": False, "crop": False},
    "photo + person": {"keypoints": False, "crop": True},
    "photo + person + key points": {"keypoints": True, "crop": True},
}


def extract(eyes: keras.Model, photos: data.Photos, cache: Path) -> dict[str, np.ndarray]:
    """Features of everyone in every photo, from the cache if it is there."""
    if cache.exists():
        return dict(np.load(cache))
    rows: dict[str, list[np.ndarray]] = {key: [] for key in (*KEYS, "keypoints", "photo")}
    for i in range(len(photos)):
        context, crop, points = data.samples_of(photos, i)
        scaled = (np.asarray(x, np.float32) / 127.5 - 1 for x in (context, crop))
        out = eyes([*scaled, points], training=False)
        for key in KEYS:
            rows[key].append(np.asarray(out[key], np.float16))
        rows["keypoints"].append(points)
        rows["photo"].append(np.full(len(points), i))
    table = {key: np.concatenate(value) for key, value in rows.items()}
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_name(f"partial-{cache.name}")
    np.savez(part, **table)
    part.replace(cache)
    return table


def inputs(table: dict[str, np.ndarray], rows: np.ndarray, variant: dict) -> dict[str, np.ndarray]:
    wanted = ("context", "crop", "attended", "fine") if variant["keypoints"] else KEYS[:2]
    chosen = {key: table[key][rows].astype(np.float32) for key in wanted}
    if not variant["crop"]:
        chosen["crop"] = np.zeros_like(chosen["crop"])
    if variant["keypoints"]:
        chosen["keypoints"] = table["keypoints"][rows].astype(np.float32)
    return chosen


def judge(net, table, labels: np.ndarray, variant: dict) -> np.ndarray:
    """For each photo, whether its verdict is right."""
    logits = np.concatenate(
        [
            np.asarray(net(inputs(table, part, variant), training=False))
            for part in np.array_split(np.arange(len(table["photo"])), 40)
        ]
    )
    ends = np.flatnonzero(np.diff(table["photo"])) + 1
    return np.array(
        [
            verdict.photo_logits(one).argmax() == label
            for one, label in zip(np.split(logits, ends), labels, strict=True)
        ]
    )


def train(tables, labels, variant: dict, seed: int) -> tuple[float, np.ndarray]:
    """Val accuracy of the best epoch, and the test verdicts at that epoch."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    net = model.head(int(labels["train"].max()) + 1, variant["keypoints"])
    owner = labels["train"][tables["train"]["photo"]]
    # Everyone in a photo has its label: a crowd must not count more than a single player.
    crowd = np.bincount(tables["train"]["photo"])[tables["train"]["photo"]]
    rounds = EPOCHS * len(owner) // BATCH
    rate = keras.optimizers.schedules.CosineDecay(RATE, rounds)
    net.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    best, verdicts = -1.0, np.zeros(0)
    for _ in range(EPOCHS):
        order = rng.permutation(len(owner))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = np.sort(order[start : start + BATCH])
            net.train_on_batch(
                inputs(tables["train"], rows, variant), owner[rows], sample_weight=1 / crowd[rows]
            )
        accuracy = judge(net, tables["val"], labels["val"], variant).mean()
        if accuracy > best:
            best, verdicts = accuracy, judge(net, tables["test"], labels["test"], variant)
    return float(best), verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--cache", type=Path, default=Path("work/features"))
    parser.add_argument("--init", default="imagenet", choices=["imagenet", "random"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/keypoint_ablation.csv"))
    args = parser.parse_args()
    eyes = model.features(initial_weights(args.init, args.shared))
    tables, labels = {}, {}
    for split in ("train", "val", "test"):
        photos = data.load(args.people, args.shared, split)
        tables[split] = extract(eyes, photos, args.cache / f"{split}.npz")
        labels[split] = photos.labels
    rows, usual = [], {}
    for name, variant in VARIANTS.items():
        runs = [train(tables, labels, variant, seed) for seed in range(args.seeds)]
        test = np.array([verdicts.mean() for _, verdicts in runs])
        # Right in most of the seeds: each photo counts once, as McNemar's test wants it.
        usual[name] = np.mean([verdicts for _, verdicts in runs], axis=0) > 0.5
        before = usual.get("photo + person", usual[name])
        gained, lost = (usual[name] & ~before).sum(), (before & ~usual[name]).sum()
        rows.append(
            {
                "branches": name,
                "seeds": args.seeds,
                "val_top1_mean": round(float(np.mean([v for v, _ in runs])), 4),
                "test_top1_mean": round(float(test.mean()), 4),
                "test_top1_sd": round(float(test.std(ddof=1)) if args.seeds > 1 else 0.0, 4),
                "gained_vs_photo_person": int(gained),
                "lost_vs_photo_person": int(lost),
                "mcnemar_p": round(float(binomtest(gained, gained + lost).pvalue), 4)
                if gained + lost
                else 1.0,
            }
        )
        print(rows[-1], flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
