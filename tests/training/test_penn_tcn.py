"""The bundled sequence network: its negatives, its calibration, and a tiny training of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.sequence_files import write_penn

pytest.importorskip("tensorflow", reason="training needs the extra: pip install 'keyact[train]'")

from keyact.action.clips import ClipModel
from keyact.layouts import get_layout
from keyact.sequences import load_sequences
from keyact.train.sequence_run import judged
from training.penn_tcn.negatives import NONE, figure, negatives


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 200, (20, 17, 3)).astype(np.float32)
    points[..., 2] = 0.9
    for name in ("sports18", "exercises"):
        np.savez(
            folder / f"{name}.npz", keypoints=points, split=np.array(["train", "val"]),
            photo=np.repeat([0, 1], 10),
        )  # fmt: skip
    return folder


def test_negatives_are_people_whom_the_network_can_read(labels: Path) -> None:
    made, again, others = (negatives(labels, 12, seed) for seed in (3, 3, 4))
    for one, same, other in zip(made, again, others, strict=True):
        assert (one.label, one.layout, one.people) == (NONE, "penn13", 1)
        assert one.keypoints.tobytes() == same.keypoints.tobytes()
        assert one.keypoints.tobytes() != other.keypoints.tobytes()
    assert len({one.group for one in made}) == 12


def test_a_figure_stands_upright_on_legs_of_one_length() -> None:
    for seed in range(20):
        points = figure(60, np.random.default_rng(seed))
        place = {name: points[:, i] for i, name in enumerate(get_layout("penn13").joints)}
        for side in ("left", "right"):
            heights = [place[f"{side}_{joint}"][:, 1].mean() for joint in ("hip", "knee", "ankle")]
            assert place["head"][:, 1].mean() < heights[0] < heights[1] < heights[2]
        thighs = [
            np.linalg.norm(place[f"{side}_knee"] - place[f"{side}_hip"], axis=1).max()
            for side in ("left", "right")
        ]
        assert max(thighs) < 1.35 * min(thighs)


def test_little_evidence_gives_no_certainty_and_the_background_no_names() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    sure = 20 * np.eye(3, dtype=np.float32)[truth] + rng.normal(0, 1, (60, 3)).astype(np.float32)
    looks = [row[None, None] for row in sure]
    meta = {"labels": ["a", "b", NONE]}
    judged(looks, truth, meta)
    scaled = np.exp(sure / meta["temperature"])
    top = (scaled / scaled.sum(1, keepdims=True)).max(1).mean()
    assert top < 1 - 0.5 / 62  # all 60 are right, which is not proof of more
    # The background looks a little like "a": the threshold has to lie above nearly all of that.
    strange = truth == 2
    sure[strange] = np.array([4, 0, 3.5]) + rng.normal(0, 0.3, (strange.sum(), 3))
    told = {"labels": ["a", "b", NONE], "background": NONE}
    judged([row[None, None] for row in sure], truth, told)
    answer = np.exp(sure / told["temperature"])
    answer /= answer.sum(1, keepdims=True)
    named = answer[:, :2].max(1) >= told["unknown_threshold"]
    assert named[strange].mean() < 0.2 and named[~strange].all()


@pytest.mark.slow
def test_a_tiny_network_is_trained_and_shipped(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.penn_tcn import export, train

    data = tmp_path / "shared/data/penn_action/labels"
    data.mkdir(parents=True)
    for i in range(12):
        write_penn(data / f"{i:04d}.mat", ("squat", "bowl")[i % 2], train=int(i < 8), frames=10 + i)
    out = tmp_path / "weights"
    out.mkdir()
    (out / "registry.json").write_text('{"weights": []}')
    monkeypatch.setattr(
        train, "SETTINGS", train.SETTINGS | {"epochs": 1, "sequence.samples": 16, "batch": 8}
    )
    told = ["--shared", str(tmp_path / "shared"), "--labels", str(labels), "--run", "run"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *told, "--negatives", "8"])
    train.main()
    monkeypatch.setattr(
        sys, "argv", ["export", *told, "--out", str(out), "--report", "report.json"]
    )
    export.main()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["test"]["recordings"] == 4
    assert report["negatives of another seed"]["recordings"] == 300
    (row,) = json.loads((out / "registry.json").read_text())["weights"]
    assert (row["name"], row["kind"]) == ("penn-tcn", "sequence")
    model = ClipModel(out / row["file"])
    assert model.labels == ("bowl", "squat")
    answers = model.predict(load_sequences(data))
    assert answers.shape == (12, 2) and (answers.sum(1) < 1).all()
    assert "$figures" not in (out / row["card"]).read_text()
