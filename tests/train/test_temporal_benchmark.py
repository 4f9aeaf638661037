"""What ``benchmarks/temporal.py`` does to recordings, and its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sequence_files as made

from benchmarks import temporal
from keyact.sequences import Sequence

RECORDING = made.sequence("penn13", 21, label="sit", fps=20.0)


@pytest.mark.parametrize(
    ("variant", "frames", "fps"),
    [
        ("single", 1, 20.0),
        ("average", 1, 20.0),
        ("shuffled", 21, 20.0),
        ("quarter", 6, 5.0),
        ("half", 11, 10.0),
        ("motion", 21, 20.0),
        ("full", 21, 20.0),
    ],
)
def test_variants_leave_what_they_say(variant: str, frames: int, fps: float) -> None:
    left = temporal.VARIANTS[variant](RECORDING, np.random.default_rng(0))
    assert (len(left), left.fps, left.label) == (frames, fps, "sit")
    if variant == "shuffled":
        order = [
            int(np.abs(RECORDING.keypoints[0] - frame).max((1, 2)).argmin())
            for frame in left.keypoints[0]
        ]
        assert sorted(order) == list(range(21)) != order
    if variant == "average":
        np.testing.assert_allclose(left.keypoints[0, 0], RECORDING.keypoints[0].mean(0), rtol=1e-5)


def test_the_average_leaves_out_what_was_not_placed() -> None:
    points = np.stack([np.full((13, 2), 10.0), np.full((13, 2), 99.0)])
    scores = np.stack([np.ones(13), np.zeros(13)])
    one = Sequence.of(points, scores, "penn13")
    left = temporal.VARIANTS["average"](one, np.random.default_rng(0))
    np.testing.assert_allclose(left.keypoints, 10, rtol=1e-5)


def test_noise_is_of_the_size_that_it_says() -> None:
    rng = np.random.default_rng(0)
    moved = temporal.jittered(RECORDING, 0.1, rng).keypoints - RECORDING.keypoints
    size = RECORDING.keypoints.reshape(-1, 2).std(0).mean()
    assert moved.std() == pytest.approx(0.1 * size, rel=0.1)
    lost = temporal.joints_lost(RECORDING, 0.5, rng).scores
    assert 0.35 < (lost == 0).mean() < 0.65
    gone = (temporal.frames_lost(RECORDING, 0.5, rng).scores == 0).all((0, 2))
    assert 4 < gone.sum() < 17
    assert not (temporal.frames_lost(RECORDING, 1.0, rng).scores == 0).all()


def test_a_table_goes_on_where_it_was(tmp_path: Path) -> None:
    table = temporal.Table(tmp_path, "models")
    table.put(model="tcn", seed=0, val_top1=0.9)
    table.put(model="tcn", seed=1, val_top1=0.8)
    again = temporal.Table(tmp_path, "models")
    assert again.get(model="tcn", seed=0) == {**again.rows[0], "val_top1": "0.9", "test_top1": ""}
    again.put(model="tcn", seed=0, test_top1=0.95)
    rows = temporal.Table(tmp_path, "models").rows
    assert [(row["val_top1"], row["test_top1"]) for row in rows] == [("0.9", "0.95"), ("0.8", "")]
    assert temporal.Table(tmp_path, "models").get(model="act", seed=0) is None
