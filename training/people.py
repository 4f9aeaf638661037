"""Find the people of a labelled photo set with keyact's own detector and pose network.

    python -m training.people --dataset sports18 --out work/people

What the action model is trained and judged on, so that it learns from the very boxes and key
points that it will get. Written are the columns of :mod:`training.label`. What was found is in
keyact's cache, too, where `keyact train` and `keyact compare` look for it.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from keyact.data.people import People, find_people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--dataset", default="sports18")
    parser.add_argument("--out", type=Path, default=Path("work/people"))
    parser.add_argument("--detector", default="persondet-m")
    parser.add_argument("--pose", default="fastpose-m")
    parser.add_argument("--flip-test", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--splits", nargs="+", default=["train", "val", "test"])
    args = parser.parse_args()
    root = args.shared / "data" / args.dataset
    with (root / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split") in (None, *args.splits)]
    found = find_people(
        [root / row["path"] for row in rows],
        detector=args.detector,
        pose=args.pose,
        flip_test=args.flip_test,
        jobs=args.jobs,
        progress=True,
    )
    kept = [
        (row, people)
        for row, (_, people) in zip(rows, found, strict=True)
        if isinstance(people, People)
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        args.out / f"{args.dataset}.npz",
        paths=np.array([row["path"] for row, _ in kept]),
        split=np.array([row.get("split", "") for row, _ in kept]),
        photo=np.concatenate([np.full(len(people), i) for i, (_, people) in enumerate(kept)]),
        boxes=np.concatenate([people.boxes for _, people in kept]),
        scores=np.concatenate([people.scores for _, people in kept]),
        keypoints=np.concatenate([people.keypoints for _, people in kept]),
    )
    nobody = sum(len(people) == 0 for _, people in kept)
    print(f"{args.dataset}: {len(kept)} photos, {nobody} with nobody in them")


if __name__ == "__main__":
    main()
