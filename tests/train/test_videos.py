"""From a folder of clips that the test draws to a model that names what people do in a clip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("keras", reason="training needs the extra: pip install 'keyact[train]'")
pytest.importorskip("tensorflow", reason="training needs the extra: pip install 'keyact[train]'")

from video_case import make_networks, write_clip

import keyact
from keyact.action.eyes import Eyes
from keyact.cli import app
from keyact.data import load_dataset, tracks
from keyact.data.pruning import cached
from keyact.data.recordings import load_recordings
from keyact.timeline import VideoTimeline
from keyact.train.eyes import eyes_of

LABELS = {"still": (False, "box"), "lift-box": (True, "box"), "lift-ball": (True, "ball")}
SMALL = ("--epochs", 3, "--set", "options={width: 16, depth: 1, glance: 16}", "--set", "batch=16",
         "--set", "rate=0.01", "--set", "sequence.frames=8", "--set", "sequence.samples=240",
         "--set", "ema=0", "--set", "warmup_steps=4", "--set", "tensorboard=false")  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hands go up and down with one of two things, or hang: a folder for each.

    What is done with the box is done with the ball in the very same way.
    """
    root = tmp_path_factory.mktemp("clips")
    for part, (split, count) in enumerate((("train", 4), ("val", 2), ("test", 2))):
        for label, (lifts, held) in LABELS.items():
            for number in range(count):
                seed = 10 * part + number
                write_clip(root / split / label / f"{number}.mkv", lifts, held, seed, frames=10)
    whole = (root / "train" / "still" / "0.mkv").read_bytes()
    (root / "train" / "still" / "broken.mkv").write_bytes(whole[: len(whole) // 50])
    return root


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: object, code: int = 0) -> Any:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    return invoke


@pytest.mark.slow
def test_from_clips_to_a_timeline(
    run: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The movement tells who lifts something; what it is only those tell who look at it."""
    networks = make_networks(tmp_path)
    options = [f"--{kind}={file}" for kind, file in networks.items()]
    clips = load_dataset(data).subset("test")
    seen: list[str] = []
    find = tracks._Finder.__call__

    def counted(self: tracks._Finder, path: Path) -> object:
        seen.append(path.name)
        return find(self, path)

    monkeypatch.setattr(tracks._Finder, "__call__", counted)
    monkeypatch.setattr("keyact.train.run.draw_curves", lambda rows, path: path.touch())
    model = ("--model", "keypoint-fusion-temporal")
    said = run("train", data, *options, *model, "--name", "fused", *SMALL, code=1)
    assert "broken.mkv" in said.stderr and "1 files or recordings could not be used" in said.stderr
    assert "12 recordings to learn from, 6 to choose on, 3 actions" in said.stderr
    assert "keyact predict CLIP --model runs/fused/model.onnx" in said.stdout
    assert len(seen) == 19  # none of the test part
    about = json.loads(Path("runs/fused/model.json").read_text("utf-8"))["meta"]
    assert about["eyes"]["name"] == "keypoint-fusion" and len(about["eyes"]["sha256"]) == 64

    said = run("evaluate", data, *options, "--model", "runs/fused/model.onnx", "--split", "test",
               "--resamples", 0, "--json")  # fmt: skip
    report = json.loads(said.stdout)
    assert report["rows"] == 6
    # Key points alone say the same of both, so they cannot name more than 4 of 6.
    alone = {r.name: r.keypoints for r in load_recordings(clips, **networks)}
    assert len(seen) == 19 + 6 and len(alone) == 6
    for number in range(2):
        box, ball = (alone[f"test/lift-{held}/{number}.mkv"] for held in ("box", "ball"))
        assert np.abs(box - ball).max() < 0.5 and np.ptp(box[0, :, 9, 1]) > 10
    assert report["metrics"]["top1"]["value"] >= 5 / 6

    # What was followed and looked at once is not again.
    seen.clear()
    assert {(info.kind, info.keys()) for info in cached(tmp_path / "cache")} == {
        ("tracks", 24), ("glances", 24),
    }  # fmt: skip
    eyes = eyes_of("keypoint-fusion").load()
    monkeypatch.setattr(Eyes, "__call__", lambda *given: pytest.fail("looked again"))
    assert len(load_recordings(clips, **networks, eyes=eyes)) == 6 and not seen
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    listed = run("cache", "--cache", tmp_path / "cache").stdout
    assert "tracks" in listed and "glances" in listed and "keypoint-fusion" in listed

    # One file is all there is to keep.
    shutil.move("runs/fused/model.onnx", "mine.onnx")
    for label in ("lift-ball", "lift-box"):
        clip = write_clip(tmp_path / f"{label}.mkv", *LABELS[label], seed=100, frames=20)
        said = run("predict", clip, *options, "--model", "mine.onnx", "--timeline", "t.jsonl")
        timeline = VideoTimeline.from_json(Path("t.jsonl").read_text())
        (person,) = timeline.people
        assert timeline.models == ("fused",)
        assert {segment.label for segment in person.segments} == {label}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "keypoint-fusion"), "learns from photos"),
        (("--model", "tcn", "--detector", "persondet"), "did you mean 'persondet-m'"),
        (("--model", "keypoint-fusion-temporal", "--set", "sequence.eyes=none"), "'none'"),
        (("--model", "keypoint-fusion-temporal", "--set", "sequence.people=2"), "one person"),
        (("--every", 0), "every"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    run: Any, data: Path, arguments: tuple[object, ...], message: str
) -> None:
    done = CliRunner().invoke(app, ["train", str(data), *map(str, arguments)])
    assert done.exit_code in (1, 2) and message in " ".join(done.output.split())
    assert "Traceback" not in done.output and not Path("runs").exists()


def test_a_run_of_that_name_is_refused_before_the_work(
    run: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("runs/old").mkdir(parents=True)
    for name in ("config.yaml", "checkpoint.npz"):
        Path("runs/old", name).write_text("")
    monkeypatch.setattr(tracks._Finder, "__call__", lambda self, path: pytest.fail("followed"))
    with pytest.raises(keyact.InputError, match="exists"):
        keyact.train(data, "tcn", name="old")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Clips of two labels, a test clip of which is also in train. Nothing reads their frames."""
    for part, numbers in (("train", range(4)), ("test", range(4, 6))):
        for label in ("run", "sit"):
            for number in numbers:
                path = tmp_path / "copied" / part / label / f"v{number // 2}_{number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{label} {number}")
    shutil.copy(tmp_path / "copied/test/run/v2_4.mp4", tmp_path / "copied/train/run/v1_copy.mp4")
    return tmp_path / "copied"


class _Followed(Exception):
    """Stands in for the hours in which people are followed."""


def _learnt(monkeypatch: pytest.MonkeyPatch, said: list[str], *given: Any, **more: Any) -> set[str]:
    """The clips whose people would be followed."""
    seen: list[str] = []

    def follow(dataset: Any, **options: Any) -> None:
        seen.extend(sample.path.relative_to(dataset.root).as_posix() for sample in dataset.samples)
        raise _Followed

    monkeypatch.setattr("keyact.data.recordings.load_recordings", follow)
    with pytest.raises(_Followed):
        keyact.train(*given, model="tcn", say=said.append, **more)
    return set(seen)


def test_copies_of_test_clips_are_told_and_stay_out_once_dropped(
    run: Any, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    everything = _learnt(monkeypatch, said, copied)
    assert "train/run/v1_copy.mp4" in everything and not any("test" in name for name in everything)
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "on two sides (1): copies of a photo run/v2_4.mp4" in warning

    run("data", "split", copied, "--method", "official", "--drop-leaks", "--out", "splits")
    said.clear()
    kept = _learnt(monkeypatch, said, copied, splits="splits/split.csv")
    assert kept == everything - {"train/run/v1_copy.mp4"}
    assert not [line for line in said if line.startswith("warning")]
    assert any("left out: 1 clips in no split, such as" in line for line in said)


def test_groups_of_clips_on_two_sides_are_refused(run: Any, copied: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(copied).as_posix()},{path.parent.name},{path.parts[-3]},anna"
            for path in sorted(copied.rglob("*.mp4"))]  # fmt: skip
    (tmp_path / "clips.csv").write_text("\n".join(["path,label,split,group", *rows]), "utf-8")
    from keyact.data import load_dataset

    with pytest.raises(keyact.KeyactError, match="share what they must not: group 'anna'"):
        keyact.train(load_dataset(tmp_path / "clips.csv", root=copied), "tcn")
    assert not Path("runs").exists()


def test_networks_that_look_want_pictures(run: Any, tmp_path: Path) -> None:
    from train.sequence_case import write_utd_set

    write_utd_set(tmp_path / "utd", 1, 1)
    done = run("train", "utd", "--model", "keypoint-fusion-temporal", code=1)
    assert "give it a folder of video clips" in " ".join(done.output.split())


def test_a_sequence_network_is_given_once(run: Any, tmp_path: Path) -> None:
    from onnx_models import make_sequence

    make_sequence(tmp_path / "own.onnx")
    for more in (("--sequence", "own.onnx"), ("--no-track",)):
        done = run("predict", "clip.mp4", "--model", "own.onnx", *more, code=2)
        assert "leave --sequence and --no-track out" in " ".join(done.output.split())
