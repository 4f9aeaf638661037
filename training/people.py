"""Find the people of a labelled photo set with keyact's own detector and pose network.

    python -m training.people --dataset sports18 --out work/people

What the action model is trained and judged on, so that it learns from the very boxes and key
points that it will get. Written are the columns of :mod:`training.label`.
"""

from __future__ import annotations

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from keyact import detect, pose
from keyact.pose.nms import pose_nms

_stages: list = []


def _init(detector: str, estimator: str, flip: bool) -> None:
    cv2.setNumThreads(1)
    _stages[:] = [detect.load(detector, threads=1), pose.load(estimator, threads=1, flip_test=flip)]


def _find(path: str):
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        return None
    boxes, scores = _stages[0](image)
    keypoints, kept = pose_nms(_stages[1](image, boxes), scores, boxes)
    return boxes[kept], scores[kept], keypoints


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
        rows = [row for row in csv.DictReader(file) if row["split"] in args.splits]
    settings = (args.detector, args.pose, args.flip_test)
    with ProcessPoolExecutor(args.jobs, initializer=_init, initargs=settings) as pool:
        found = list(pool.map(_find, [str(root / row["path"]) for row in rows], chunksize=16))
    kept = [(row, item) for row, item in zip(rows, found, strict=True) if item is not None]
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        args.out / f"{args.dataset}.npz",
        paths=np.array([row["path"] for row, _ in kept]),
        split=np.array([row["split"] for row, _ in kept]),
        photo=np.concatenate([np.full(len(item[0]), i) for i, (_, item) in enumerate(kept)]),
        boxes=np.concatenate([item[0] for _, item in kept]),
        scores=np.concatenate([item[1] for _, item in kept]),
        keypoints=np.concatenate([item[2] for _, item in kept]),
    )
    nobody = sum(len(item[0]) == 0 for _, item in kept)
    print(f"{args.dataset}: {len(kept)} photos, {nobody} with nobody in them")


if __name__ == "__main__":
    main()
