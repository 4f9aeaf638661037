"""Recordings of key points: what a sequence network says of them, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sequence_files as made
from onnx_models import make_action, make_sequence
from typer.testing import CliRunner

pytest.importorskip("sklearn", reason="the extra train is not installed")

from keyact.action.clips import ClipModel, is_sequence_network
from keyact.cli import app
from keyact.errors import InputError, KeyactError, UnknownNameError, WeightsError
from keyact.evaluate import predict_sequences
from keyact.evaluate.sequences import of_split
from keyact.layouts import get_layout
from keyact.sequences import Sequence, save_sequences

UP = "arms up"
DOWN = "arms down"


def recording(up: bool, split: str | None = "test", label: str | None = None) -> Sequence:
    points = made.picture(made.moving("coco17", 12))
    layout = get_layout("coco17")
    if up:
        for side in ("left", "right"):
            points[:, layout.index(f"{side}_wrist"), 1] = points[:, layout.index("nose"), 1] - 40
    name = label or (UP if up else DOWN)
    return Sequence.of(
        points, layout="coco17", label=name, name=f"{name} {split}", split=split, group="g"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_sequence(tmp_path / "arms.onnx")
    return tmp_path / "arms.onnx"


def test_probabilities_become_predictions(file: Path) -> None:
    found = predict_sequences(ClipModel(file, threads=1), [recording(True), recording(False)])
    assert found.labels == (UP, DOWN)
    assert found.probabilities.argmax(1).tolist() == found.targets.tolist() == [0, 1]
    assert found.groups == ("g", "g")
    assert found.attributes["frames"].tolist() == [12, 12]
    assert found.unknown_threshold == 0.6


@pytest.mark.parametrize("clips", [0, 3])
def test_looks_are_averaged(tmp_path: Path, clips: int) -> None:
    test = {"clips": clips, "fraction": 0.5, "flip": True}
    make_sequence(tmp_path / "m.onnx", test=test, temperature=2.0)
    model, one = ClipModel(tmp_path / "m.onnx", threads=1), recording(True)
    looks = model.views(*model.features.clean(one), model.features)
    assert len(looks) == 2 * (1 + clips)
    np.testing.assert_allclose(model(one), model.windows(looks).mean(0), atol=1e-6)
    assert model(one)[0] > 0.9


def test_what_a_model_cannot_take_is_refused_or_told(file: Path) -> None:
    model = ClipModel(file, threads=1)
    deep = made.sequence("kinect20", dims=3, label=UP, name="deep")
    with pytest.raises(InputError, match="deep: key points are 3D"):
        predict_sequences(model, [deep])
    told: list[str] = []
    found = predict_sequences(
        model, [deep, recording(True)], on_error=lambda name, error: told.append(name)
    )
    assert (told, found.failed, len(found.paths)) == (["deep"], ("deep",), 1)
    with pytest.raises(UnknownNameError, match="did you mean 'arms up'"):
        predict_sequences(model, [recording(True, label="arms upp")])
    with pytest.raises(KeyactError, match="no labelled recording"):
        predict_sequences(model, [recording(True, label="sit")], only_known=True)


@pytest.mark.parametrize(
    ("splits", "wanted", "name", "count"),
    [
        (("train", "val", "test"), None, "val", 1),
        (("train", "test", "test"), None, "test", 2),
        ((None, None), None, None, 2),
        (("train", "test"), "all", None, 2),
        (("train", "test"), "train", "train", 1),
    ],
)
def test_splits(
    splits: tuple[str | None, ...], wanted: str | None, name: str | None, count: int
) -> None:
    chosen, split = of_split([recording(True, one) for one in splits], wanted)
    assert (split, len(chosen)) == (name, count)
    with pytest.raises(UnknownNameError, match="split"):
        of_split([recording(True, "train")], "tset")


def test_the_file_says_which_kind_it_is(tmp_path: Path, file: Path) -> None:
    make_action(tmp_path / "action.onnx")
    assert is_sequence_network(file)
    assert not is_sequence_network(tmp_path / "action.onnx")
    assert not is_sequence_network("keypoint-fusion")
    assert not is_sequence_network(tmp_path / "none.onnx")
    make_sequence(tmp_path / "bad.onnx", test={"clips": -1})
    with pytest.raises(WeightsError, match="views"):
        ClipModel(tmp_path / "bad.onnx")


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def test_the_command(tmp_path: Path, file: Path, invoke: Callable[..., Any]) -> None:
    some = [recording(up, split) for up in (True, False) for split in ("train", "test")]
    save_sequences(tmp_path / "set.npz", [*some, recording(True, label=DOWN)])
    said = invoke("evaluate", "set.npz", "--model", file, "--resamples", 0, "--json")
    assert said.exit_code == 0, said.output
    report = json.loads(said.stdout)
    assert (report["rows"], report["split"]) == (3, "test")
    assert report["metrics"]["top1"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert (tmp_path / "evaluation" / "evaluation.json").exists()
    wrong = invoke("evaluate", "set.npz", "--model", file, "--split", "tset")
    assert wrong.exit_code == 2
    assert "did you mean 'test'" in wrong.output
    assert "Traceback" not in wrong.output
