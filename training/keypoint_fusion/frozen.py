"""Where the key points help: heads trained on cached features of the untouched MobileNetV2.

    python -m training.keypoint_fusion.frozen --people work/people/sports18.npz \
        --out results/keypoint_ablation.csv

The same training three times over (seeds 0, 1, 2) for each row of `VARIANTS`: what is looked at,
where the key points enter, with and without the gate, and how much round the person is seen.
Features are computed once and cached (minutes), a head trains in seconds. The epoch is chosen on
val; test is read once per run and chooses nothing. ``blind`` is the test accuracy of the same
heads when no key point is found, which is what the gate is for. Gained and lost photos, and
McNemar's exact p, compare what most seeds get right with "photo + person", and with "photo", the
image-only MobileNetV2. Trainings that are done are kept in --cache, so an interrupted run goes on
where it was.
"""

from __future__ import annotations

import argparse
import csv
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keyact.evaluate.significance import exact_mcnemar
from keyact.models.keypoint_fusion.network import (
    ATTENTION_SIGMA,
    FINE_LAYER,
    FINE_STRIDE,
    Attend,
    JointSampler,
)
from keyact.replacing import replacing
from keyact.train.calibration import photo_logits
from training import onnx_export
from training.backbone import initial_weights, mobilenet_v2
from training.keypoint_fusion import data, model

COLUMNS = (
    "branches", "seeds", "val_top1_mean", "val_top1_sd", "test_top1_mean", "test_top1_sd",
    "blind_top1_mean", "gained_vs_photo_person", "lost_vs_photo_person", "mcnemar_p",
    "gained_vs_photo", "lost_vs_photo", "mcnemar_p_vs_photo",
)  # fmt: skip
EPOCHS, BATCH, RATE = 24, 128, 1e-3
TOGETHER = 8  # photos that go through MobileNetV2 at once
FINER_LAYER, FINER_STRIDE = "block_6_expand_relu", 8
MARGINS = (1.0, data.CROP_MARGIN, 1.6)
Table = dict[str, np.ndarray]


class Variant(NamedTuple):
    """What a head sees; ``enter`` as `keyact.models.keypoint_fusion.network.head` takes it."""

    photo: bool = True
    person: bool = True
    enter: tuple[str, ...] = ()
    gated: bool = True
    fine: str = "fine"
    margin: float = data.CROP_MARGIN


BASE, IMAGE_ONLY = "photo + person", "photo"
VARIANTS = {
    BASE: Variant(),  # first, for the others are compared with it
    IMAGE_ONLY: Variant(person=False),
    "person": Variant(photo=False),
    "key points alone": Variant(photo=False, person=False, enter=("pose",)),
    f"{BASE} + attention at joints": Variant(enter=("attended",)),
    f"{BASE} + samples at joints, stride 16": Variant(enter=("joints",)),
    f"{BASE} + samples at joints, stride 8": Variant(enter=("joints",), fine="finer"),
    f"{BASE} + pose": Variant(enter=("pose",)),
    f"{BASE} + key points": Variant(enter=model.BRANCHES),
    f"{BASE} + key points, no gate": Variant(enter=model.BRANCHES, gated=False),
    **{
        f"{BASE} + key points, margin {margin}": Variant(enter=model.BRANCHES, margin=margin)
        for margin in MARGINS
        if margin != data.CROP_MARGIN
    },
}


SEEN = ("context", "crop", "attended", "fine", "finer")


@cache
def extractor(weights: str | Path | None):
    """M photos and N crops (S, S, 3) uint8 and points (N, 17, 3) to features, by ONNX Runtime."""
    backbone = mobilenet_v2((model.SIZE, model.SIZE, 3), weights)
    maps = [backbone.get_layer(name).output for name in (FINER_LAYER, FINE_LAYER)]
    taps = keras.Model(backbone.input, [*maps, backbone.output], name="mobilenet_v2")
    look = JointSampler(32, ATTENTION_SIGMA)
    finer, fine, attend = JointSampler(FINER_STRIDE), JointSampler(FINE_STRIDE), Attend()

    def function(context, crop, keypoints):
        photos = tf.shape(context)[0]
        pictures = tf.cast(tf.concat([context, crop], 0), tf.float32) / 127.5 - 1
        finer_map, fine_map, last = taps(pictures, training=False)
        pooled = tf.reduce_mean(last, (1, 2))
        looks = look([last[photos:], keypoints])
        return (
            pooled[:photos],
            pooled[photos:],
            attend([looks, keypoints[..., 2:]]),
            fine([fine_map[photos:], keypoints]),
            finer([finer_map[photos:], keypoints]),
        )

    picture = tf.TensorSpec((None, model.SIZE, model.SIZE, 3), tf.uint8)
    points = tf.TensorSpec((None, model.JOINTS, 3), tf.float32)
    specs = [
        tf.TensorSpec(kind.shape, kind.dtype, name=name)
        for kind, name in ((picture, "context"), (picture, "crop"), (points, "keypoints"))
    ]
    return onnx_export.session(
        onnx_export.convert(
            function, specs, [f"{name}_seen" for name in SEEN], {"name": "features"}
        ),
        threads=1,
    )


def extract(weights, photos: data.Photos, margin: float, kept: Path) -> Table:
    """Features of everyone in every photo, from the cache if it is there."""
    if kept.exists():
        return dict(np.load(kept))
    see = extractor(weights)
    rows: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(photos), TOGETHER):
        places = range(start, min(start + TOGETHER, len(photos)))
        seen = [data.samples_of(photos, i, margin) for i in places]
        counts = [len(points) for _, _, points in seen]
        contexts = np.concatenate([context[:1] for context, _, _ in seen])
        crops, points = (np.concatenate([one[k] for one in seen]) for k in (1, 2))
        found = see.run(None, {"context": contexts, "crop": crops, "keypoints": points})
        made = {name: value.astype(np.float16) for name, value in zip(SEEN, found, strict=True)}
        made["context"] = np.repeat(made["context"], counts, 0)
        made |= {"keypoints": points, "photo": np.repeat(list(places), counts)}
        for key, value in made.items():
            rows.setdefault(key, []).append(value)
    table = {key: np.concatenate(value) for key, value in rows.items()}
    with replacing(kept) as part:
        np.savez(part, **table)
    return table


def inputs(table: Table, rows: np.ndarray, variant: Variant, blind: bool = False) -> Table:
    def taken(key: str, there: bool = True) -> np.ndarray:
        return table[key][rows].astype(np.float32) * np.float32(there)

    chosen = {"context": taken("context", variant.photo), "crop": taken("crop", variant.person)}
    if "attended" in variant.enter:
        chosen["attended"] = taken("attended", not blind)
    if "joints" in variant.enter:
        chosen["fine"] = taken(variant.fine)
    if variant.enter:
        chosen["keypoints"] = taken("keypoints", not blind)
    return chosen


def judge(net, table: Table, labels: np.ndarray, variant: Variant, blind: bool = False):
    """For each photo, whether its verdict is right."""
    everyone = np.arange(len(table["photo"]))
    parts = np.array_split(everyone, max(len(everyone) // 512, 1))
    rows = [net(inputs(table, part, variant, blind), training=False) for part in parts]
    logits = np.concatenate([np.asarray(one) for one in rows])
    people = np.split(logits, np.flatnonzero(np.diff(table["photo"])) + 1)
    return photo_logits(people).argmax(1) == labels


def train(tables, labels, variant: Variant, seed: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Val accuracy of the best epoch, and test verdicts at that epoch, also without key points."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    learned, known = tables["train"], labels["train"]
    width = learned[variant.fine].shape[-1]
    net = model.head(int(known.max()) + 1, variant.enter, fine_width=width, gated=variant.gated)
    first = np.flatnonzero(np.diff(learned["photo"], prepend=-1))
    people = np.diff([*first, len(learned["photo"])])
    steps = max(len(known) // BATCH, 1)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * steps)
    net.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    best, chosen = -1.0, net.get_weights()
    for _ in range(EPOCHS):
        order = rng.permutation(len(known))
        for start in range(0, steps * BATCH, BATCH):
            photos = np.sort(order[start : start + BATCH])
            rows = first[photos] + rng.integers(people[photos])  # one of each photo's people
            net.train_on_batch(inputs(learned, rows, variant), known[photos])
        accuracy = judge(net, tables["val"], labels["val"], variant).mean()
        if accuracy > best:
            best, chosen = accuracy, net.get_weights()
    net.set_weights(chosen)
    verdicts = judge(net, tables["test"], labels["test"], variant)
    blind = judge(net, tables["test"], labels["test"], variant, blind=True)
    return float(best), verdicts, blind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--cache", type=Path, default=Path("work/features"))
    parser.add_argument("--init", default="imagenet", choices=["imagenet", "random"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("results/keypoint_ablation.csv"))
    args = parser.parse_args()
    weights = initial_weights(args.init, args.shared)
    sets = {s: data.load(args.people, args.shared, s) for s in ("train", "val", "test")}
    labels = {split: photos.labels for split, photos in sets.items()}
    tables: dict[float, dict[str, Table]] = {}
    for name in args.variants:
        variant = VARIANTS[name]
        missing = [
            seed for seed in range(args.seeds) if not kept_run(args.cache, name, seed).exists()
        ]
        if missing and variant.margin not in tables:
            tables.clear()  # one at a time: each takes half a gigabyte
            tables[variant.margin] = {
                split: extract(
                    weights, photos, variant.margin, args.cache / f"{split}-{variant.margin}.npz"
                )
                for split, photos in sets.items()
            }
        for seed in missing:
            best, verdicts, blind = train(tables[variant.margin], labels, variant, seed)
            with replacing(kept_run(args.cache, name, seed)) as part:
                np.savez(part, best=best, verdicts=verdicts, blind=blind)
            print(f"{name}, seed {seed}: val {best:.4f}, test {verdicts.mean():.4f}", flush=True)
    done = {}
    for name in VARIANTS:
        files = [kept_run(args.cache, name, seed) for seed in range(args.seeds)]
        if all(file.exists() for file in files):
            done[name] = [dict(np.load(file)) for file in files]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row(name, done) for name in done)


def kept_run(cache: Path, name: str, seed: int) -> Path:
    """Where the verdicts of one training are kept, so that an interrupted run goes on."""
    return cache / "heads" / f"{re.sub(r'[^a-z0-9.]+', '-', name)}-{seed}.npz"


def row(name: str, done: dict[str, list[Table]]) -> dict[str, object]:
    """A variant's line of the table, compared with `BASE` and `IMAGE_ONLY`."""
    runs = done[name]
    val, test, blind = (
        np.array([run[key].mean() for run in runs]) for key in ("best", "verdicts", "blind")
    )
    values = [name, len(runs), *(f(x) for x in (val, test) for f in (np.mean, deviation))]
    values.append(blind.mean() if VARIANTS[name].enter else "")
    for other in (BASE, IMAGE_ONLY):
        values += exact_mcnemar(usual(runs), usual(done.get(other, runs)))
    rounded = (round(float(v), 4) if isinstance(v, float) else v for v in values)
    return dict(zip(COLUMNS, rounded, strict=True))


def usual(runs: list[Table]) -> np.ndarray:
    """Photos that most of the seeds have right: each counts once, as McNemar's test wants it."""
    return np.mean([run["verdicts"] for run in runs], axis=0) > 0.5


def deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
