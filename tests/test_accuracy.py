"""The shipped networks on real photos: floors a little under the published figures.

They need the data that is not in the repository, and skip without it.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import keypoints as bench
from keyact import Recognizer, detect, pose

PHOTOS_PER_SPORT = 3


@pytest.fixture(scope="module")
def people(photos_dir: Path) -> list[tuple[np.ndarray, list[dict]]]:
    return bench.load_people(photos_dir)


def test_key_points_agree_with_human_labels(people: list[tuple[np.ndarray, list[dict]]]) -> None:
    assert bench.with_true_boxes(pose.load(), people) > 0.64


def test_own_boxes_are_nearly_as_good(people: list[tuple[np.ndarray, list[dict]]]) -> None:
    score, boxes = bench.with_detector(pose.load(), detect.load(), people)
    assert score > 0.55
    assert boxes < 40  # 12 people with key points, a few more without


def test_the_perfect_pose_has_oks_one(people: list[tuple[np.ndarray, list[dict]]]) -> None:
    for _, known in people:
        for person in known:
            truth = np.array(person["keypoints"], float).reshape(17, 3)
            assert bench.oks(truth, person) == pytest.approx(1)
            assert bench.oks(truth + 50, person) < 0.5


def test_sports_are_recognised(shared_dir: Path) -> None:
    root = shared_dir / "data" / "sports18"
    with (root / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    chosen: dict[str, list[str]] = {}
    for row in rows:
        chosen.setdefault(row["label"], []).append(row["path"])
    wanted = [(label, path) for label in chosen for path in chosen[label][:PHOTOS_PER_SPORT]]
    results = Recognizer(threads=2).recognize_many(root / path for _, path in wanted)
    right = [
        result.image_actions[0].label == label
        for result, (label, _) in zip(results, wanted, strict=True)
    ]
    assert len(right) == 18 * PHOTOS_PER_SPORT
    assert np.mean(right) > 0.75  # 54 photos: two standard errors under the published figure
