"""From photos that the test draws to a model that recognises them."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("keras", reason="training needs the extra: pip install 'keyact[train]'")
pytest.importorskip("tensorflow", reason="training needs the extra: pip install 'keyact[train]'")

import keyact
from keyact.cli import app

COLOURS = {"blue": (230, 60, 30), "red": (30, 60, 230)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per label; the colour is the action. One photo is damaged."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        for split, count in (("train", 8), ("val", 4)):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                image = np.clip(np.array(colour) + rng.normal(0, 20, (80, 60, 3)), 0, 255)
                cv2.imwrite(str(folder / f"{i}.png"), image.astype(np.uint8))
    (root / "train" / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return root


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the module, apart from the user's."""
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path_factory.getbasetemp() / "train-cache"))


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_data_are_read_as_the_options_say(data: Path, tmp_path: Path) -> None:
    rows = ["path,label,split"]
    for path in sorted(data.rglob("?.png")):
        rows.append(f"{path.relative_to(data).as_posix()},{path.parent.name},{path.parts[-3]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    code, said = run(
        "train", tmp_path / "list.csv", "--root", data, "--model", "keypoints-trees",
        "--runs", tmp_path, "--name", "listed", "--detector", "whole-image",
    )  # fmt: skip
    assert code == 0, said
    assert "16 photos to learn from, 8 to choose on" in said


SMALL = ("--detector", "whole-image", "--set", "weights=none", "--set", "batch=4", "--set",
         "options={size: 32, alpha: 0.35}", "--set", "tensorboard=false")  # fmt: skip


@pytest.mark.slow
def test_train_stop_resume_and_predict(data: Path, tmp_path: Path) -> None:
    common = ("train", data, "--model", "mobilenetv2", "--runs", tmp_path, *SMALL)
    settings = ("--set", "rate=0.01", "--set", "warmup_steps=2", "--set", "augment.colour=0.1",
                "--set", "freeze=null", "--set", "label_smoothing=0")  # fmt: skip
    code, said = run(*common, *settings, "--name", "whole", "--epochs", 3)
    assert code == 1, said  # a photo was broken
    assert "1 files or recordings could not be used" in said
    assert "left out" in said
    assert "broken.png" in said
    whole = tmp_path / "whole"
    assert {path.name for path in whole.iterdir()} >= {
        "config.yaml", "environment.json", "log.csv", "curves.png", "best.weights.h5",
        "checkpoint.npz", "model.onnx", "model.json", "metrics.json", "split.csv",
    }  # fmt: skip

    # The same training, stopped after its first epoch and resumed.
    class Stopped(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        keyact.train(
            data, "mobilenetv2", name="broken", runs=tmp_path, config=whole / "config.yaml",
            detector="whole-image", on_epoch=stop,
        )  # fmt: skip
    broken = tmp_path / "broken"
    assert not (broken / "model.onnx").exists()
    resume = ("--runs", tmp_path, "--name", "broken", "--resume")
    for other_data in ((data / "val",), (data, "--splits", whole / "split.csv")):
        code, said = run("train", *other_data, *resume)
        assert code == 1 and "was begun with" in said
    listed = (broken / "split.csv").read_bytes()
    photo = data / "val" / "red" / "0.png"
    photo.rename(data / "train" / "red" / "moved.png")
    code, said = run("train", data, *resume)
    assert code == 1 and "was begun with other data" in said.replace("\n", " ")
    assert "train/red/moved.png was not there, and is red in train now" in " ".join(said.split())
    assert (broken / "split.csv").read_bytes() == listed
    (data / "train" / "red" / "moved.png").rename(photo)
    code, said = run("train", data, *resume)
    assert code == 1, said
    one, other = log(whole), log(broken)
    assert len(one) == len(other) == 3
    for row, again in zip(one, other, strict=True):
        for name in ("rate", "loss", "val_loss", "val_top1"):
            assert float(row[name]) == pytest.approx(float(again[name]), abs=1e-6), name
    figures = json.loads((broken / "metrics.json").read_text())
    expected = json.loads((whole / "metrics.json").read_text())
    assert figures["photos"] == expected["photos"] == 8
    assert figures["loss"] == pytest.approx(expected["loss"], abs=1e-3)

    photo = next((data / "val" / "red").glob("*.png"))
    use = ("--model", broken / "model.onnx", "--detector", "whole-image")
    code, said = run("predict", photo, *use, "--json", tmp_path / "out.jsonl")
    assert code == 0, said
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert {one["label"] for one in line["image_actions"]} == {"blue", "red"}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["keypoints-trees", "keypoint-fusion"])
def test_trees_and_frozen_features(data: Path, tmp_path: Path, model: str) -> None:
    frozen = model == "keypoint-fusion"
    extra = ("--frozen", "--epochs", 8, "--set", "rate=0.01") if frozen else ("--set", "options={}")
    code, said = run(
        "train", data, "--model", model, "--runs", tmp_path, "--name", "one", *SMALL, *extra
    )
    assert code == 1 and "broken.png" in said
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert 0 <= metrics["top1"] <= 1
    recognizer = keyact.Recognizer(tmp_path / "one" / "model.onnx", detector="whole-image")
    result = recognizer(next((data / "val" / "red").glob("*.png")))
    assert {one.label for one in result.image_actions} == {"blue", "red"}
    if frozen:
        from keyact.train.eyes import eyes_of

        assert eyes_of(tmp_path / "one" / "model.onnx").load().width == 3 * 1280 + 256 + 192
        code, said = run("train", data, "--runs", tmp_path, "--name", "one", "--resume")
        assert code == 1 and "broken.png" in said


@pytest.mark.parametrize(
    ("arguments", "code", "wanted"),
    [
        (["--model", "keypoint-fuson"], 2, "did you mean 'keypoint-fusion'"),
        (["--set", "epoch=3"], 2, "did you mean 'epochs'"),
        (["--set", "augment.flp=3"], 2, "did you mean 'flip'"),
        (["--set", "epochs"], 2, "KEY=VALUE"),
        (["--set", "rate=fast"], 1, "rate"),
        (["--config", "missing.yaml"], 1, "cannot be read"),
        (["--resume"], 1, "its name"),
        (["--resume", "--name", "none"], 1, "nothing to resume"),
        (["--epochs", "0"], 2, "epochs"),
        (["--model", "tcn"], 1, "no"),
    ],
)
def test_what_is_wrong_is_one_line(
    data: Path, tmp_path: Path, arguments: list[str], code: int, wanted: str
) -> None:
    found, said = run("train", data, "--runs", tmp_path, *arguments)
    assert found == code, said
    assert wanted in " ".join(said.split())
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_no_data_is_said(tmp_path: Path) -> None:
    found, said = run("train", tmp_path / "none", "--runs", tmp_path / "runs")
    assert found == 1
    assert "no such file or folder" in " ".join(said.split())


def test_the_package_is_the_function(data: Path) -> None:
    import keyact.train.config

    assert keyact.train is sys.modules["keyact.train"]
    with pytest.raises(keyact.UnknownNameError, match="keypoint-fusion"):
        keyact.train(data, "keypointfusion")
