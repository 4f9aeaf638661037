from __future__ import annotations

import hashlib
import json
import logging
import pickle
from pathlib import Path

import pytest

from keyact import action, detect, pose, weights
from keyact.errors import UnknownNameError, WeightsError
from keyact.runtime import OnnxModel
from tests.onnx_models import make_action, make_detector, make_pose

BUNDLED = [entry for entry in weights.entries() if entry.source == "bundled"]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYACT_HOME", str(tmp_path))
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_bundled_file_is_the_registered_one(entry: weights.WeightEntry) -> None:
    assert entry.kind in weights.KINDS
    assert entry.path.stat().st_size == entry.bytes < 10_000_000
    assert entry.digest() == entry.sha256
    assert entry.licence == "Apache-2.0" and entry.summary
    assert entry.card is not None and len(entry.card.read_text("utf-8")) > 500
    meta = OnnxModel(entry.path, sha256=entry.sha256).meta
    assert (meta["kind"], meta["name"]) == (entry.kind, entry.name)


def test_registry_and_folder_agree() -> None:
    folder = Path(weights.__file__).parent
    assert {entry.path for entry in BUNDLED} == set(folder.glob("*.onnx"))
    for kind in {entry.kind for entry in BUNDLED}:
        assert sum(entry.default for entry in BUNDLED if entry.kind == kind) == 1


def test_user_models_are_listed_by_what_they_say(models: Path) -> None:
    make_pose(models / "b.onnx")
    make_detector(models / "a.onnx", name="mine")
    mine = [entry for entry in weights.entries() if entry.source == "user"]
    assert [(e.kind, e.name, e.file) for e in mine] == [
        ("detector", "mine", "a.onnx"),
        ("pose", "tiny-pose", "b.onnx"),
    ]
    assert mine[0].sha256 is None
    assert mine[0].digest() == hashlib.sha256((models / "a.onnx").read_bytes()).hexdigest()
    assert weights.get("detector", "mine") == mine[0] == weights.resolve("detector", "mine")


def test_stray_user_files_are_left_out_with_a_warning(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_pose(models / "good.onnx")
    make_pose(models / "twice.onnx")
    make_pose(models / "kind.onnx", kind="weather")
    make_pose(models / "name.onnx", name="\x1b[31mred")
    (models / "text.onnx").write_text("hello")
    (models / "folder.onnx").mkdir()
    with caplog.at_level(logging.WARNING, logger="keyact"):
        mine = [entry.file for entry in weights.entries() if entry.source == "user"]
    assert mine == ["good.onnx"]
    for name in ("twice", "kind", "name", "text", "folder"):
        assert f"{name}.onnx" in caplog.text
    assert "\x1b" not in caplog.text


def test_a_user_file_is_read_and_reported_once(
    models: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pose(models / "good.onnx")
    make_pose(models / "twice.onnx")
    (models / "text.onnx").write_text("hello")
    reads: list[str] = []
    read = weights.read_model_file
    monkeypatch.setattr(
        weights, "read_model_file", lambda path: (reads.append(path.name), read(path))[1]
    )
    with caplog.at_level(logging.WARNING, logger="keyact"):
        for _ in range(3):
            assert len([e for e in weights.entries("pose") if e.source == "user"]) == 1
    assert sorted(reads) == ["good.onnx", "text.onnx", "twice.onnx"]
    assert len(caplog.records) == 2
    make_detector(models / "text.onnx", name="mended")  # what changed is read anew
    assert weights.get("detector", "mended").file == "text.onnx"


def test_a_name_of_another_kind_says_where_it_goes() -> None:
    for load, name, message in (
        (
            action.load,
            "fastpose-m",
            "unknown action model .* is a pose network, which --pose takes",
        ),
        (pose.load, "keypoint-fusion", "it is an action network, which --model takes"),
        (detect.load, "penn-tcn", "it is a sequence network, which --sequence takes"),
    ):
        with pytest.raises(UnknownNameError, match=message) as caught:
            load(name)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_is_no_network_gets_the_words_to_type(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/first").mkdir(parents=True)
    make_action(Path("runs/first/model.onnx"))
    Path("x.tflite").write_bytes(b"TFL3")
    make_pose(Path("foreign.onnx"), kind="weather")
    make_pose(models / "mine.onnx", name="runs")  # a name comes before a folder
    for load, asked, message in (
        (action.load, "runs/first", "runs/first: is a folder, .* network is runs/first/model.onnx"),
        (action.load, Path("runs/first"), "network is runs/first/model.onnx"),
        (action.load, "runs", r"^runs: is a folder, not a network$"),
        (pose.load, "x.tflite", "x.tflite: is no .onnx file; .* type movenet:x.tflite$"),
        (action.load, "x.tflite", "x.tflite: is no .onnx file$"),
        (detect.load, "foreign.onnx", "names no kind of network .* type yolox:foreign.onnx"),
        (pose.load, "foreign.onnx", "movenet:foreign.onnx"),
    ):
        with pytest.raises(WeightsError, match=message):
            load(asked)
    assert weights.resolve("pose", "runs").file == "mine.onnx"
    for asked in ("", "~nobody-of-this-name", "x" * 5000, "nul\0l"):
        with pytest.raises(UnknownNameError):
            action.load(asked)


def test_resolve_takes_a_path_of_the_right_kind(tmp_path: Path) -> None:
    make_action(tmp_path / "x.onnx")
    assert weights.resolve("action", tmp_path / "x.onnx").name == "tiny-action"
    assert weights.resolve("action", str(tmp_path / "x.onnx")).path == tmp_path / "x.onnx"
    with pytest.raises(WeightsError, match="is an action network, wanted a pose network"):
        weights.resolve("pose", tmp_path / "x.onnx")
    make_pose(tmp_path / "p.onnx")
    with pytest.raises(WeightsError, match="is a pose network, wanted an action network"):
        weights.resolve("action", tmp_path / "p.onnx")
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.resolve("pose", "no/such.onnx")


def test_unknown_name_suggests_the_nearest(models: Path) -> None:
    make_pose(models / "p.onnx", name="quickpose-s")
    with pytest.raises(UnknownNameError, match="pose backend 'quikpose-s'; did you mean"):
        weights.resolve("pose", "quikpose-s")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"KEYACT_HOME": "/k"}, Path("/k/models")),
        ("linux", {"XDG_DATA_HOME": "/x"}, Path("/x/keyact/models")),
        ("win32", {"LOCALAPPDATA": "/w"}, Path("/w/keyact/models")),
        ("darwin", {}, Path.home() / "Library/Application Support/keyact/models"),
    ],
)
def test_place_of_user_models(
    platform: str, variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEYACT_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(weights.sys, "platform", platform)
    assert weights.user_models_dir() == expected


def test_registry_is_read_with_its_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundled file that was replaced is refused when it is loaded."""
    from keyact import pose

    data = make_pose(tmp_path / "p.onnx", name="boxed")
    row = {
        "name": "boxed", "kind": "pose", "file": "p.onnx", "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(), "licence": "Apache-2.0",
        "card": "p.md", "summary": "tiny", "default": True,
    }  # fmt: skip
    (tmp_path / "registry.json").write_text(json.dumps({"weights": [row]}))
    monkeypatch.setattr(weights, "_HERE", tmp_path)
    weights._bundled.cache_clear()
    try:
        assert pose.names()[0] == "boxed"
        assert pose.load("boxed", threads=1).name == "boxed"
        (tmp_path / "p.onnx").write_bytes(make_pose(name="boxed", sigma=9))
        with pytest.raises(WeightsError, match="SHA-256"):
            pose.load("boxed")
    finally:
        weights._bundled.cache_clear()
