"""The teacher's labels, judged by the product's own command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keyact.pose.annotations import read_photos
from training import annotations


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A photo of each split; in the one of val a sure, an unsure and an unlabelled person."""
    photos = np.array(["a.png", "b.png"])
    for name in photos:
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    keypoints = np.full((4, 17, 3), 0.9, np.float32)
    keypoints[..., :2] = np.arange(17)[:, None]
    keypoints[1, 3, 2] = 0.1  # one joint that the teacher only guesses
    keypoints[2, :, 2] = 0.1
    keypoints[3] = np.nan
    np.savez(
        tmp_path / "sports18.npz", paths=photos, split=np.array(["train", "val"]),
        photo=np.array([0, 1, 1, 1]), boxes=np.array([[1, 2, 31, 42]] * 4), keypoints=keypoints,
    )  # fmt: skip
    return tmp_path


def test_sure_people_of_the_split_are_annotated(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = labels / "val.json"
    words = ["annotations", "--labels", str(labels), "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    annotations.main()
    (photo,) = read_photos(out, labels, pytest.fail)
    assert photo.path.name == "b.png"
    assert photo.boxes.tolist() == [[1, 2, 31, 42]]
    assert photo.keypoints[0, :, 2].tolist() == [2, 2, 2, 0, *[2] * 13]
    assert photo.keypoints[0, :, :2].tolist() == [[i, i] for i in range(17)]
