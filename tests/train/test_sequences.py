from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train.sequence_case import ACTIONS, acted, recordings, write_utd_set

pytest.importorskip("sklearn", reason="training needs the extra: pip install 'keyact[train]'")

import keyact
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.sequences import Augment, Features, Sequence, known_skeleton
from keyact.sequences.views import Views
from keyact.train.config import TrainConfig, load_config
from keyact.train.kinds import default_model
from keyact.train.sequence_data import (
    ClipBatches,
    ClipSet,
    copies_across_sides,
    refuse_torn_groups,
    usable,
    with_val,
)
from keyact.train.sequence_defaults import (
    augment_of,
    facing,
    features_of,
    left_is_right,
    people_of,
)
from keyact.train.sequence_settings import SequenceSettings

SETTINGS = SequenceSettings(frames=12)
STREAMS = ("joint", "joint_motion", "score")


def clips(some: list[Sequence]) -> ClipSet:
    return ClipSet.of(some, ACTIONS, features_of(some, SETTINGS, STREAMS))


# What is held out


def test_held_out_groups_are_whole_and_test_is_left_alone() -> None:
    train, val, ours = with_val(recordings(subjects=6), 0.25, 0)
    assert ours
    assert {r.split for r in train + val} == {"train"}
    assert not {r.group for r in train} & {r.group for r in val}
    assert {r.label for r in train} == set(ACTIONS) == {r.label for r in val}
    assert len(train) + len(val) == 4 * len(ACTIONS) * 2


def test_recordings_in_no_split_beside_others_are_left_out() -> None:
    from dataclasses import replace

    some = [replace(r, split=None) if r.group == "s0" else r for r in recordings(subjects=6)]
    train, val, _ = with_val(some, 0.25, 0)
    assert {r.group for r in train + val} == {"s1", "s2", "s3"}
    own = [replace(r, split="validation") if r.group == "s1" else r for r in some]
    train, val, ours = with_val(own, 0.25, 0)
    assert not ours
    assert ({r.group for r in train}, {r.group for r in val}) == ({"s2", "s3"}, {"s1"})


def test_groups_that_a_manifest_tears_are_refused(tmp_path: Path) -> None:
    write_utd_set(tmp_path, subjects=2, trials=1)
    names = sorted(path.name for path in tmp_path.iterdir())

    def manifest(*rows: str) -> None:
        (tmp_path / "manifest.csv").write_text("\n".join(["path,split,group", *rows]), "utf-8")

    manifest(f"{names[0]},train,anna", f"{names[1]},Validation,anna", f"{names[2]},test,bob")
    with pytest.raises(
        KeyactError,
        match=rf"manifest\.csv: the group 'anna' .*\({names[0]} in train and {names[1]} in val\)",
    ):
        keyact.train(tmp_path, "tcn", runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    manifest(f"{names[0]},train,anna", f"{names[1]},training,anna", f"{names[2]},test,bob")
    refuse_torn_groups(tmp_path)
    # A protocol may share the subjects that file names tell: NTU's cross-view does.
    manifest(*(f"{name},{('train', 'test')[i % 2]}," for i, name in enumerate(names)))
    refuse_torn_groups(tmp_path)
    refuse_torn_groups(tmp_path / names[0])


def test_the_same_key_points_on_two_sides_are_told() -> None:
    from dataclasses import replace

    some = recordings()
    assert copies_across_sides(some) == []
    blank = Sequence.of(np.zeros((5, 20, 3)), layout="kinect20", label="wave", split="train")
    both = [replace(blank, split=split) for split in ("train", "test")]
    assert copies_across_sides([*some, *both, replace(some[0], split=None)]) == []
    (line,) = copies_across_sides([*some, replace(some[0], name="again", split="test")])
    assert f"on two sides (1): copies of a recording ({some[0].name} in train and again in" in line


def test_a_val_split_is_taken_as_it_is() -> None:
    from dataclasses import replace

    some = [replace(r, split="val") if r.group == "s0" else r for r in recordings(subjects=5)]
    train, val, ours = with_val(some, 0.2, 0)
    assert not ours
    assert ({r.group for r in val}, {r.group for r in train}) == ({"s0"}, {"s1", "s2"})


def test_without_groups_recordings_are_held_out() -> None:
    from dataclasses import replace

    some = [replace(r, group=None, split=None) for r in recordings(trials=5)]
    _, val, _ = with_val(some, 0.2, 0)
    assert len(val) == len(some) // 5
    assert {r.label for r in val} == set(ACTIONS)
    again = with_val(some, 0.2, 0)
    assert [r.name for r in again[1]] == [r.name for r in val]
    assert [r.name for r in with_val(some, 0.2, 1)[1]] != [r.name for r in val]


def test_what_one_group_alone_does_stays_in_training() -> None:
    from dataclasses import replace

    some = [
        replace(r, label="jump") if r.group == "s1" and r.label == "kick" else r
        for r in recordings(subjects=6)
    ]
    train, val, _ = with_val(some, 0.25, 0)
    assert "jump" in {r.label for r in train}
    assert {r.label for r in val} <= set(ACTIONS) & {r.label for r in train}


def test_few_recordings_of_each_label_are_split_all_the_same() -> None:
    from dataclasses import replace

    some = [replace(r, split="train", group=None) for r in recordings(subjects=2)]
    most = max(Counter(r.label for r in some).values())
    train, val, ours = with_val(some, 0.5 / most, 0)
    assert ours and val and {r.label for r in train} == {r.label for r in some}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"split": "test"}, "nothing to train on"), ({"group": "one"}, "of one group")],
)
def test_what_cannot_be_split_is_refused(change: dict[str, Any], message: str) -> None:
    from dataclasses import replace

    some = [replace(r, **{"split": "train", **change}) for r in recordings()]
    with pytest.raises(KeyactError, match=message):
        with_val(some, 0.2, 0)


def test_recordings_without_label_or_person_are_left_out_and_said() -> None:
    said: list[str] = []
    some = recordings()
    blank = Sequence.of(np.zeros((5, 20, 3)), layout="kinect20", label="wave")
    unlabelled = Sequence.of(acted("wave", 0, 0), layout="kinect20")
    assert len(usable([*some, blank, unlabelled], said.append)) == len(some)
    assert said == ["left out: 2 recordings without a label or a person"]
    with pytest.raises(KeyactError, match="nothing to tell apart"):
        usable([r for r in some if r.label == "wave"], said.append)


# Batches


def test_a_batch_is_a_function_of_its_place() -> None:
    some = clips(recordings())
    config = TrainConfig(batch=8, sequence=SequenceSettings(samples=64))
    batches, same = (ClipBatches(some, Augment(), config) for _ in range(2))
    other = ClipBatches(some, Augment(), config.model_copy(update={"seed": 1}))
    assert batches.steps == 64 // 8
    one = batches.batch(2, 3)
    batches.batch(0, 0)
    np.testing.assert_array_equal(one.inputs["x"], same.batch(2, 3).inputs["x"])
    assert one.inputs["x"].shape == (8, *some.features.shape)
    assert one.targets.shape == (8, len(ACTIONS))
    for different in (batches.batch(2, 4), batches.batch(3, 3), other.batch(2, 3)):
        assert np.abs(one.inputs["x"] - different.inputs["x"]).max() > 1e-3


def test_an_epoch_has_every_recording_as_often() -> None:
    some = clips(recordings())
    config = TrainConfig(batch=4, sequence=SequenceSettings(samples=2 * len(some)))
    still = Augment(0, 0, 0, 0, 0, 0, 0, 0, 1, 0)
    batches = ClipBatches(some, still, config)
    seen = np.concatenate([batches.batch(0, step).inputs["x"] for step in range(batches.steps)])
    whole = np.concatenate(some.views(Views()))
    nearest = np.abs(seen[:, None] - whole[None]).max((2, 3, 4)).argmin(1)
    assert np.bincount(nearest).tolist() == [2] * len(some)


def test_a_teacher_stands_behind_the_labels() -> None:
    some = clips(recordings())
    taught = np.random.default_rng(0).dirichlet(np.ones(4), len(some)).astype(np.float32)
    batch = ClipBatches(some, Augment(), TrainConfig(batch=8), taught).batch(0, 0)
    assert batch.targets.shape == (8, 8)
    np.testing.assert_allclose(batch.targets.reshape(8, 2, 4).sum(2), 1, atol=1e-5)


# What the recordings tell


@pytest.mark.parametrize(("hands", "alike"), [(("right",), False), (("right", "left"), True)])
def test_left_is_right_only_where_people_use_both(hands: tuple[str, ...], alike: bool) -> None:
    some = recordings(subjects=6, trials=4, hands=hands)
    train, val, _ = with_val(some, 0.25, 0)
    assert left_is_right(clips(train), clips(val)) is alike


def test_unknown_sides_are_never_mirrored() -> None:
    from dataclasses import replace

    some = [replace(r, layout="generic-20") for r in recordings()]
    assert left_is_right(clips(some), clips(some)) is False


def test_features_follow_the_recordings() -> None:
    flat, deep = recordings("penn13", 2), recordings("kinect20", 3)
    two = features_of(flat, SETTINGS, STREAMS)
    three = features_of(deep, SETTINGS, STREAMS)
    assert (two.dims, two.preprocess.scale, two.preprocess.view) == (2, "body", False)
    assert (three.dims, three.preprocess.scale, three.preprocess.view) == (3, "torso", False)
    assert (two.shape[:2], three.shape[:2]) == ((12, 13), (12, 20))
    assert three.seconds == pytest.approx(np.median([len(r) / 30 for r in deep]))
    assert facing(deep) > 0.95
    assert augment_of(SETTINGS, 3, False).rotate > augment_of(SETTINGS, 2, False).rotate
    with pytest.raises(KeyactError, match="some recordings are in 2D and some in 3D"):
        features_of([*recordings("kinect20", 2), *deep], SETTINGS, STREAMS)


def test_people_who_face_all_ways_are_turned() -> None:
    from dataclasses import replace

    turned = []
    for i, recording in enumerate(recordings()):
        angle = i * 0.7
        around = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        turned.append(replace(recording, keypoints=recording.keypoints @ around))
    assert features_of(turned, SETTINGS, STREAMS).preprocess.view


def test_a_second_person_counts_where_there_often_is_one() -> None:
    one = recordings()
    two = [
        Sequence.of(np.stack([acted(a, s, 0), acted(a, s, 1)[:24]][:1] * 2), layout="kinect20")
        for a in ACTIONS
        for s in range(2)
    ]
    assert people_of(one) == 1
    assert people_of(two) == 2
    assert people_of([*one, two[0]]) == 1


# Looks at a recording


def test_views_are_the_whole_and_its_parts() -> None:
    recording = recordings("penn13", 2)[0]
    features = Features(known_skeleton("penn13"), 2, 12, STREAMS)
    cleaned = features.clean(recording)
    looks = Views(3, 0.5, True)(*cleaned, features)
    assert looks.shape == (8, *features.shape)
    np.testing.assert_allclose(looks[0], features(recording)[0], atol=1e-6)
    np.testing.assert_allclose(looks[4, ..., 0], -looks[0][:, list(features.skeleton.flip)][..., 0])
    assert Views.from_dict(Views(3, 0.5, True).to_dict()) == Views(3, 0.5, True)
    for wrong in ({}, {"clips": -1, "fraction": 1, "flip": 0}, {"clips": "x"}):
        with pytest.raises(InputError):
            Views.from_dict(wrong)


# Settings and names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence.framse": 3}, "did you mean 'frames'"),
        ({"sequence.frames": 1}, "sequence.frames"),
        ({"sequence.scale": "hip"}, "sequence.scale"),
    ],
)
def test_wrong_settings_are_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=message):
        load_config(**settings)


def test_the_kind_of_data_chooses_the_model(tmp_path: Path) -> None:
    write_utd_set(tmp_path / "utd", 1, 1)
    photos = tmp_path / "photos" / "run"
    photos.mkdir(parents=True)
    (photos / "a.jpg").write_bytes(b"")
    (tmp_path / "list.csv").write_text("path,label\na.jpg,run\n", "utf-8")
    (tmp_path / "points.csv").write_text("frame,0_x,0_y,1_x,1_y\n0,1,2,3,4\n", "utf-8")
    for name, model in (
        ("utd", "stream-ensemble"),
        ("utd/a1_s1_t1_skeleton.mat", "stream-ensemble"),
        ("points.csv", "stream-ensemble"),
        ("photos", "keypoint-fusion"),
        ("list.csv", "keypoint-fusion"),
        ("nothing", "keypoint-fusion"),
    ):
        assert default_model(tmp_path / name) == model, name
    assert default_model(tmp_path, "utd-mhad") == "keypoint-fusion"


# The whole way


@pytest.mark.slow
def test_from_files_to_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cross-subject on files of another sensor, through the command alone."""
    pytest.importorskip(
        "tensorflow", reason="training needs the extra: pip install 'keyact[train]'"
    )
    from typer.testing import CliRunner

    from keyact.cli import app

    monkeypatch.chdir(tmp_path)
    write_utd_set(tmp_path / "utd", subjects=6, trials=3)

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.output
        return result

    small = ["--model", "tcn", "--epochs", "4", "--set", "options.width=24",
             "--set", "options.depth=1", "--set", "sequence.frames=12", "--set", "batch=16",
             "--set", "rate=0.01", "--set", "sequence.samples=300", "--set", "ema=0",
             "--set", "tensorboard=false"]  # fmt: skip
    run("train", "utd", "--name", "one", *small)
    about = json.loads(Path("runs/one/model.json").read_text("utf-8"))["meta"]
    assert about["labels"] == ["a1", "a2", "a3", "a4"]
    assert about["features"]["skeleton"]["layout"] == "kinect20"
    assert about["test"]["flip"] is False  # everyone uses the right hand
    metrics = json.loads(Path("runs/one/metrics.json").read_text("utf-8"))
    assert metrics["exported"].startswith("trained once more")
    judge = ["evaluate", "utd", "--split", "test", "--model", "runs/one/model.onnx",
             "--resamples", "0", "--json"]  # fmt: skip
    said = run(*judge)
    report = json.loads(said.stdout)
    assert report["rows"] == 4 * 3 * 3
    assert report["metrics"]["top1"]["value"] > 0.8
    # A file that cannot be used is named and left out, and the exit status says so.
    Path("utd/a1_s1_t9_skeleton.mat").write_bytes(b"cut off")
    left = CliRunner().invoke(app, judge)
    assert left.exit_code == 1
    assert "a1_s1_t9_skeleton.mat: not a MATLAB file" in left.stderr
    assert json.loads(left.stdout)["rows"] == 4 * 3 * 3
    told: list[str] = []
    done = keyact.train("utd", "tcn", name="left-out", epochs=1, say=told.append, ema=0,
                        options__width=8, options__depth=1, sequence__frames=8,
                        sequence__samples=20, tensorboard=False)  # fmt: skip
    assert len(done.failed) == 1 and f"left out: {done.failed[0]}" in told
    # It was done, and goes on only with the recordings that it was begun with.
    on: dict[str, Any] = {"name": "left-out", "resume": True}
    folder = Path("runs/left-out")
    listed = (folder / "split.csv").read_text("utf-8")
    assert "a1_s1_t1_skeleton,a1,train,s1" in listed and ",val," in listed
    keyact.train("utd", **on)
    Path("utd/manifest.csv").write_text("path,label\na1_s1_t1_skeleton.mat,a2\n", "utf-8")
    for name in Path("utd").glob("*.mat"):
        with Path("utd/manifest.csv").open("a") as file:
            file.write(f"{name.name},\n" if name.name != "a1_s1_t1_skeleton.mat" else "")
    with pytest.raises(InputError, match=r"a1_s1_t1_skeleton was a1 in .*, and is a2 in .*--name"):
        keyact.train("utd", **on)
    assert (folder / "split.csv").read_text("utf-8") == listed
    (folder / "split.csv").unlink()  # as runs of before have none
    Path("utd/manifest.csv").unlink()
    keyact.train("utd", **on)
    assert (folder / "split.csv").read_text("utf-8") == listed
    refused = CliRunner().invoke(app, ["train", "utd", "--name", "two", "--set", "sequence.x=1"])
    assert refused.exit_code != 0
    assert "unknown setting" in refused.output.lower()
