"""How exact the key points are: OKS against COCO's ground truth on four photos, 12 people.

    python benchmarks/keypoints.py --shared ../shared

Every decode method, with and without the flip test, with the true boxes and with keyact's own
detector (a person who is not found counts as 0), and milliseconds per person. The photos are
COCO val2017 photos on which nothing was trained or chosen. Writes results/keypoints.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from keyact import detect, pose
from keyact.media.image import load_image
from keyact.pose.decode import METHODS

# COCO's per-joint constants (Lin et al. 2014; cocoeval.py), twice the standard deviations.
KAPPA = 2 * np.array(
    [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107,
     .087, .087, .089, .089]
)  # fmt: skip


def oks(found: np.ndarray, annotation: dict) -> float:
    """Object keypoint similarity of (17, 3) key points with one COCO annotation."""
    truth = np.array(annotation["keypoints"], float).reshape(17, 3)
    seen = truth[:, 2] > 0
    squared = ((found[:, :2] - truth[:, :2]) ** 2).sum(1)
    return float(np.exp(-squared / (2 * annotation["area"] * KAPPA**2))[seen].mean())


def load_people(photos: Path) -> list[tuple[np.ndarray, list[dict]]]:
    """Photos with their annotated people (those with key points)."""
    table = json.loads((photos / "test_coco.json").read_text())
    return [
        (
            load_image(photos / image["file_name"]),
            [
                person
                for person in table["annotations"]
                if person["image_id"] == image["id"] and person["num_keypoints"] > 0
            ],
        )
        for image in table["images"]
    ]


def with_true_boxes(estimator, people) -> float:
    scores = []
    for photo, known in people:
        boxes = np.array([a["bbox"] for a in known], float)
        boxes[:, 2:] += boxes[:, :2]
        found = estimator(photo, boxes)
        scores += [oks(f, a) for f, a in zip(found, known, strict=True)]
    return statistics.fmean(scores)


def with_detector(estimator, detector, people) -> tuple[float, int]:
    """Mean OKS of the best pose for each person, and how many boxes there were."""
    scores, boxes_found = [], 0
    for photo, known in people:
        boxes, _ = detector(photo)
        boxes_found += len(boxes)
        found = estimator(photo, boxes)
        scores += [max((oks(f, a) for f in found), default=0.0) for a in known]
    return statistics.fmean(scores), boxes_found


def milliseconds(estimator, people, runs: int) -> float:
    """Median time per person, one person at a time."""
    photo, known = people[0]
    x, y, w, h = known[0]["bbox"]
    box = np.array([[x, y, x + w, y + h]])
    estimator(photo, box)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        estimator(photo, box)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--pose", default="fastpose-m")
    parser.add_argument("--detector", default="persondet-m")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("results/keypoints.csv"))
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    people = load_people(args.shared / "data" / "media" / "photos")
    detector = detect.load(args.detector, threads=args.threads)
    rows = []
    for flip in (False, True):
        for decode in METHODS:
            estimator = pose.load(args.pose, threads=args.threads, flip_test=flip, decode=decode)
            own, boxes = with_detector(estimator, detector, people)
            rows.append(
                {
                    "pose": args.pose,
                    "decode": decode,
                    "flip_test": flip,
                    "people": sum(len(a) for _, a in people),
                    "oks_true_boxes": round(with_true_boxes(estimator, people), 4),
                    "detector": args.detector,
                    "oks_own_boxes": round(own, 4),
                    "own_boxes": boxes,
                    "ms_per_person": round(milliseconds(estimator, people, args.runs), 2),
                    "threads": args.threads,
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
