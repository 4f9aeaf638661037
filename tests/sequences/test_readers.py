"""What single formats know beyond the contract."""

from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sequence_files as made
from scipy.io import savemat

from keyact.errors import InputError
from keyact.sequences import UNCERTAIN, load_sequences, save_sequences
from keyact.sequences.pickles import RefusedPickle, read_pickle


def test_penn_joints_that_were_not_visible_are_uncertain_and_not_at_the_origin(
    tmp_path: Path,
) -> None:
    points = made.write_penn(tmp_path / "0001.mat")
    (clip,) = load_sequences(tmp_path)
    assert (clip.scores[0, :, 3] == UNCERTAIN).all()
    np.testing.assert_allclose(clip.keypoints[0, :, 3], points[:, 3], atol=0.01)
    assert (clip.scores[0, 2:4, 5] == 0).all() and clip.scores[0, 4, 5] == 1


def test_penn_neighbours_are_one_group(tmp_path: Path) -> None:
    for number, (action, train) in enumerate([("squat", 1), ("squat", 1), ("squat", -1)]):
        made.write_penn(tmp_path / f"{number:04d}.mat", action, train)
    groups = [clip.group for clip in load_sequences(tmp_path)]
    assert groups[0] == groups[1] != groups[2]


def test_real_penn_action(shared_dir: Path) -> None:
    clips = load_sequences(shared_dir / "data" / "penn_action" / "labels")
    counted = collections.Counter(clip.split for clip in clips)
    assert counted == {"train": 1258, "test": 1068}
    assert len({clip.label for clip in clips}) == 15
    groups = {clip.group: set() for clip in clips}
    for clip in clips:
        groups[clip.group].add((clip.split, clip.label))
    assert all(len(told) == 1 for told in groups.values())
    assert all(np.isfinite(clip.keypoints).all() for clip in clips)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1)])
@pytest.mark.parametrize("frames", [12, 20, 60])
def test_mat_axes_may_be_in_any_order(tmp_path: Path, axes: tuple[int, ...], frames: int) -> None:
    points = made.moving("kinect20", frames)
    savemat(tmp_path / "clip.mat", {"anything": points.transpose(axes), "note": "text"})
    (clip,) = load_sequences(tmp_path)
    assert clip.layout == "kinect20"
    np.testing.assert_allclose(clip.keypoints[0], points, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)])
def test_few_frames_are_not_taken_for_coordinates(
    tmp_path: Path, axes: tuple[int, ...], frames: int
) -> None:
    points = made.moving("kinect20", frames)
    savemat(tmp_path / "clip.mat", {"d_skel": points.transpose(axes).squeeze()})
    (clip,) = load_sequences(tmp_path, layout="kinect20")
    assert clip.keypoints.shape == (1, frames, 20, 3)
    np.testing.assert_allclose(clip.keypoints[0], points, atol=1e-5)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 1, 2, 0), (2, 3, 1, 0), (1, 2, 3, 0)])
def test_axes_of_two_people_may_be_in_any_order(tmp_path: Path, axes: tuple[int, ...]) -> None:
    points = np.stack([made.moving("kinect20", 9), made.moving("kinect20", 9) + 1])
    if axes == (3, 1, 2, 0):  # (3, T, V, 2) would be three people in the plane
        points = np.concatenate([points, points, points])[:4]
    savemat(tmp_path / "clip.mat", {"d_skel": points.transpose(axes)})
    (clip,) = load_sequences(tmp_path)
    np.testing.assert_allclose(clip.keypoints, points, atol=1e-5)


@pytest.mark.parametrize(("centred", "unseen"), [(False, 1), (True, 0)])
def test_a_joint_that_is_always_zero_is_the_root_or_was_never_seen(
    tmp_path: Path, centred: bool, unseen: int
) -> None:
    points = made.moving("kinect20", 9)
    points -= points[:, :1] if centred else points.min((0, 1)) - 1
    points[:, 0] = 0
    savemat(tmp_path / "clip.mat", {"d_skel": points.transpose(1, 2, 0)})
    (clip,) = load_sequences(tmp_path, layout="kinect20")
    assert (clip.scores[0] == 0).sum(1).tolist() == [unseen] * 9


def test_pickles_without_scores_do_not_see_zeros(tmp_path: Path) -> None:
    points = made.moving("coco17", 6)[None] + 50
    points[0, 2:4, 5] = 0
    entry = {"frame_dir": "a", "label": 0, "keypoint": points.astype(np.float32)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([entry]))
    (clip,) = load_sequences(tmp_path)
    assert clip.scores[0, :, 5].tolist() == [1, 1, 0, 0, 1, 1]


def test_utd_joints_are_put_into_the_order_of_the_layout(tmp_path: Path) -> None:
    for subject in (1, 2):
        made.write_utd(tmp_path / f"a1_s{subject}_t1_skeleton.mat", seed=subject)
    first, second = load_sequences(tmp_path)
    assert (first.split, second.split) == ("train", "test")
    np.testing.assert_allclose(first.keypoints[0], made.moving("kinect20", seed=1), atol=1e-5)


def test_joints_of_an_unknown_sensor_get_a_layout_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shuffled = made.moving("kinect20")[:, rng.permutation(20)]
    savemat(tmp_path / "a1_s1_t1.mat", {"skel": shuffled})
    savemat(tmp_path / "a1_s2_t1.mat", {"skel": rng.normal(size=(9, 11, 3))})
    assert [clip.layout for clip in load_sequences(tmp_path)] == ["generic-20", "generic-11"]


class _Hostile:
    """Runs a command when it is unpickled the usual way."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call


def _global(module: str, name: str, *arguments: bytes) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR."


HOSTILE = {
    "os.system": pickle.dumps(_Hostile(os.system, "touch {mark}")),
    "eval": pickle.dumps({"annotations": [_Hostile(eval, "open('{mark}', 'w')")]}),
    "getattr": pickle.dumps(_Hostile(getattr, "x", "upper")),
    "a class": pickle.dumps(datetime.date(2020, 1, 1)),
    "an ordered dictionary": pickle.dumps(collections.OrderedDict(a=1)),
    "an array of objects": pickle.dumps(np.array([_Hostile(os.getcwd)], object)),
    "a file name as an array": pickle.dumps(_Hostile(np.fromfile, "/etc/hostname")),
    "a huge array": _global("numpy", "ndarray", b"(I1000000000000\nt"),
    "a huge reconstruction": _global(
        "numpy.core.multiarray",
        "_reconstruct",
        b"cnumpy\nndarray\n",
        b"(I1000000000000\nt",
        b"S'b'\n",
    ),
    "bytes of a huge size": _global("builtins", "bytearray", b"I1000000000000\n"),
    "a changed class": b"\x80\x02cnumpy\ndtype\nN}U\x08__init__K\x01s\x86b.",
    "a name in another": _global("numpy", "os.system", b"S'true'\n"),
    "a persistent id": b"Pabc\n.",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_pickles_are_refused(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "set.pkl"
    path.write_bytes(HOSTILE[name].replace(b"{mark}", bytes(mark)))
    with pytest.raises(InputError) as caught:
        load_sequences(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    # What was read before left nothing behind: a good file is read as ever.
    made.write_pickle(path)
    assert len(load_sequences(path)) == 3


def test_what_a_hostile_pickle_asked_for_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(_Hostile(os.system, "true")))
    with pytest.raises(RefusedPickle, match=r"refused: this pickle asks for \w+\.system"):
        load_sequences(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_arrays_of_every_pickle_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    data = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "flags": np.array([True, False]),
        "names": np.array(["a", "äö"]),
        "scalar": np.float32(1.5),
        "empty": np.zeros((0, 4)),
        "plain": [1, "x", (None, {2, 3})],
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(data, protocol))
    found = read_pickle(path)
    assert found["plain"] == data["plain"] and found["scalar"] == 1.5
    for name, value in data.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype


def test_pyskl_splits_follow_the_first_protocol(tmp_path: Path) -> None:
    made.write_pickle(tmp_path / "set.pkl")
    clips = load_sequences(tmp_path / "set.pkl")
    assert [clip.split for clip in clips] == ["train", "train", "test"]
    assert [clip.people for clip in clips] == [1, 2, 1]
    assert clips[0].scores.max() == pytest.approx(0.75)


def test_ntu_inferred_joints_are_uncertain_and_people_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    made.write_ntu(path, frames=3)
    lines = path.read_text("ascii").split("\n")
    body = lines[2:29]  # the first frame's only body, to stand beside the first in frame 0 alone
    other = ["99" + body[0], *body[1:]]
    path.write_text("\n".join([lines[0], "2", *body, *other, *lines[29:]]), "ascii")
    (clip,) = load_sequences(path)
    assert clip.mask.tolist() == [[True] * 3, [True, False, False]]
    assert (clip.scores[0, :, 7] == UNCERTAIN).all() and (clip.scores[1, 1:] == 0).all()
    assert (clip.split, clip.label, clip.group) == ("train", "A001", "P001")


def test_keyact_archives_give_back_what_was_written(tmp_path: Path) -> None:
    clips = [
        made.sequence("coco17", 5, label="", name="x", split="val", size=(4, 3), fps=12.5),
        made.sequence("coco17", 9, 1, name="y", group="g"),
    ]
    save_sequences(tmp_path / "set.npz", clips)
    for before, after in zip(clips, load_sequences(tmp_path / "set.npz"), strict=True):
        np.testing.assert_array_equal(before.keypoints, after.keypoints)
        np.testing.assert_array_equal(before.scores, after.scores)
        for name in ("layout", "label", "name", "split", "group", "fps", "size"):
            assert getattr(before, name) == getattr(after, name)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


def _padded(dims: int = 3) -> np.ndarray:
    """(4, 15, 20, dims): recordings of 12 frames with zeros behind them."""
    points = np.zeros((4, 15, 20, 3))
    for number in range(4):
        points[number, :12] = made.moving("kinect20", 12, number)
    return points[..., :dims]


SETS = {
    "N T V C": lambda: {"x": _padded(), "y": np.arange(4)},
    "N M T V C": lambda: {"data": _padded()[:, None], "labels": np.array(["0", "1", "2", "3"])},
    "ST-GCN": lambda: {"x": _padded()[:, None].transpose(0, 4, 2, 3, 1), "y": np.arange(4)},
    "CTR-GCN": lambda: {
        "x_train": np.concatenate([_padded().reshape(4, 15, 60)] * 2, 2)[:2],
        "y_train": np.eye(4)[:2],
        "x_test": np.concatenate([_padded().reshape(4, 15, 60)] * 2, 2)[2:],
        "y_test": np.eye(4)[2:],
    },
}


@pytest.mark.parametrize("name", SETS)
def test_archives_of_whole_data_sets(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "set.npz", **SETS[name]())
    clips = load_sequences(tmp_path / "set.npz")
    assert [clip.label for clip in clips] == ["0", "1", "2", "3"]
    assert {len(clip) for clip in clips} == {12}  # what is behind the end is not a pose
    assert {clip.layout for clip in clips} == {"kinect20"}
    np.testing.assert_allclose(clips[3].keypoints[0], made.moving("kinect20", 12, 3), atol=1e-5)
    if name == "CTR-GCN":
        assert [clip.split for clip in clips] == ["train", "train", "test", "test"]


def test_archives_with_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=np.array([_Hostile(os.getcwd)], object))
    with pytest.raises(InputError, match="without objects"):
        load_sequences(tmp_path / "set.npz")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object))
    (tmp_path / "one.npy").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="without objects"):
        load_sequences(tmp_path / "one.npy")


def test_tables_find_the_layout_by_the_names_of_joints(tmp_path: Path) -> None:
    points = made.write_csv(tmp_path / "set.csv")
    text = (tmp_path / "set.csv").read_text("utf-8").splitlines()
    # Columns in another order say the same.
    turned = [",".join([*line.split(",")[:5], *line.split(",")[5:][::-1]]) for line in text]
    (tmp_path / "set.csv").write_text("\n".join(turned), "utf-8")
    clip = load_sequences(tmp_path / "set.csv")[0]
    assert clip.layout == "coco17"
    assert (clip.scores[0, :, 0] > 0).tolist() == [number != 3 for number in range(12)]
    np.testing.assert_allclose(clip.keypoints[0, 5], points[5], atol=1e-3)


def test_people_without_track_numbers_become_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    made.write_alphapose(path)
    path.write_text(path.read_text("utf-8").replace('"idx": [2]', '"idx": [1]'), "utf-8")
    (clip,) = load_sequences(path)
    assert clip.people == 1 and clip.mask.all()


@pytest.mark.parametrize("name", ["clip.json", "clip.jsonl"])
def test_people_whom_the_tracker_has_not_numbered_are_left_out(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As in keyact's own export of a video: a track has a number once it is sure."""
    path = tmp_path / name
    (made.write_results if name.endswith("l") else made.write_alphapose)(path)
    (before,) = load_sequences(path)
    assert before.people == 2 and not caplog.records
    text = path.read_text("utf-8")
    for number in ('"track_id":1', '"idx": [1]'):  # in the first frame that has it
        text = text.replace(number, number.replace("1", "null"), 1)
    path.write_text(text, "utf-8")
    (clip,) = load_sequences(path)
    assert clip.people == 2 and clip.mask.sum() == before.mask.sum() - 1
    assert "left out 1 of" in caplog.text


def test_a_file_of_too_many_frames_is_refused_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyact.sequences.people.MAX_FRAMES", 3)
    path = tmp_path / "clip.json"
    made.write_alphapose(path)
    text = path.read_text("utf-8")
    path.write_text(text[: len(text) // 2], "utf-8")  # what comes later is not looked at
    with pytest.raises(InputError, match="clip: more than 3 frames, from number 0 to 3"):
        load_sequences(path)
    made.write_results(tmp_path / "clip.jsonl")
    with pytest.raises(InputError, match="more than 3 frames"):
        load_sequences(tmp_path / "clip.jsonl")
    monkeypatch.setattr("keyact.sequences.people.MAX_FRAMES", 100)
    monkeypatch.setattr("keyact.sequences.people.MAX_VALUES", 100)
    with pytest.raises(InputError, match="more than 100 numbers"):
        load_sequences(tmp_path / "clip.jsonl")


def test_folders_of_videos_name_the_actions_of_keyact_results(tmp_path: Path) -> None:
    made.write_results(tmp_path / "one.jsonl")
    one = (tmp_path / "one.jsonl").read_text("utf-8")
    both = one.replace("clip.mp4", "v/train/wave/a.mp4") + one.replace(
        "clip.mp4", "v/test/sit/b.mp4"
    )
    (tmp_path / "both.jsonl").write_text(both, "utf-8")
    clips = load_sequences(tmp_path / "both.jsonl")
    assert [(clip.name, clip.label, clip.split) for clip in clips] == [
        ("a", "wave", "train"), ("b", "sit", "test"),
    ]  # fmt: skip
    assert load_sequences(tmp_path / "one.jsonl")[0].label is None


def test_mat_files_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a1_s1_t1.mat"
    savemat(path, {"skel": made.moving("kinect20")}, do_compression=True)
    assert load_sequences(path)
    monkeypatch.setattr("keyact.sequences.mat._MAX_UNPACKED", 1000)
    with pytest.raises(InputError, match="unpacks to more"):
        load_sequences(path)


def test_one_folder_is_of_one_layout(tmp_path: Path) -> None:
    """A recording that tells little is read as the others of its sensor are."""
    for subject in range(1, 4):
        made.write_utd(tmp_path / f"a1_s{subject}_t1_skeleton.mat", seed=subject)
    points = made.moving("kinect20", 4)
    points += np.random.default_rng(0).normal(0, 0.5, points.shape[1:])  # joints thrown about
    path = tmp_path / "a1_s4_t1_skeleton.mat"
    savemat(path, {"d_skel": points[:, made.UTD_ORDER].transpose(1, 2, 0)})
    assert load_sequences(path)[0].layout == "generic-20"
    clips = load_sequences(tmp_path)
    assert {clip.layout for clip in clips} == {"kinect20"}
    np.testing.assert_allclose(clips[3].keypoints[0], points, atol=1e-4)
