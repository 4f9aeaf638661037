"""The shipped networks on real photos: floors a little under the published figures.

They need the data that is not in the repository, and skip without it.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from keyact import Recognizer, detect, pose
from keyact.pose.annotations import AnnotatedPhoto, read_photos
from keyact.pose.evaluation import evaluate

PHOTOS_PER_SPORT = 3


@pytest.fixture(scope="module")
def photos(photos_dir: Path) -> list[AnnotatedPhoto]:
    pytest.importorskip("pycocotools", reason="COCO's AP needs the extra pose-eval")
    return read_photos(photos_dir / "test_coco.json", photos_dir, pytest.fail)


def test_key_points_agree_with_human_labels(photos: list[AnnotatedPhoto]) -> None:
    assert evaluate(pose.load(), photos).oks > 0.81


def test_own_boxes_are_nearly_as_good(photos: list[AnnotatedPhoto]) -> None:
    assert evaluate(pose.load(), photos, detect.load()).oks > 0.81


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
    assert np.mean(right) > 0.85  # 54 photos: three standard errors under the published figure
