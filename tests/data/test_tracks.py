"""Following people in clips: found once, as in a running video; labelled recordings of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from video_case import joints_at, make_networks, write_clip

from keyact.data import load_dataset
from keyact.data import tracks as module
from keyact.data.kinds import kind_of
from keyact.data.pruning import cached
from keyact.data.recordings import load_recordings
from keyact.data.tracks import Tracks, find_tracks
from keyact.errors import InputError, KeyactError, UnknownNameError


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two actions and two splits; a clip without anybody, one that is none, and a copy."""
    root = tmp_path_factory.mktemp("clips")
    for split, seeds in (("train", (0, 1)), ("test", (2,))):
        for seed in seeds:
            write_clip(root / split / "wave" / f"s{seed}_a.mkv", True, seed=seed)
            write_clip(root / split / "still" / f"s{seed}_a.mkv", False, seed=seed)
    (root / "train" / "still" / "s9_broken.mkv").write_bytes(b"no video")
    return root


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clips that the networks really saw."""
    seen: list[str] = []
    find = module._Finder.__call__

    def call(self: module._Finder, path: Path) -> object:
        seen.append(path.name)
        return find(self, path)

    monkeypatch.setattr(module._Finder, "__call__", call)
    return seen


def test_who_is_where(networks: dict[str, str], data: Path, tmp_path: Path) -> None:
    clip = data / "train" / "wave" / "s0_a.mkv"
    ((path, found),) = find_tracks([clip], **networks, cache=tmp_path)
    assert path == clip and isinstance(found, Tracks)
    assert found.size == (128, 96) and (found.every, found.fps) == (1, 10.0)
    np.testing.assert_allclose(found.times, np.arange(12) / 10, atol=2e-3)
    assert set(found.numbers.tolist()) == {1} and found.frames.tolist() == list(range(1, 12))
    recording = found.recording(label="wave", name="x")
    assert (recording.people, len(recording), recording.layout) == (1, 11, "coco17")
    assert recording.fps == 10 and recording.size == (128, 96)
    # The hand goes up and down in its place on the body.
    hand = (recording.keypoints[0, :, 9, 1] - found.boxes[:, 1]) / 72
    rng = np.random.default_rng(0)
    _, _, start, speed = (
        rng.uniform(25, 55),
        rng.uniform(8, 16),
        rng.random(),
        rng.uniform(0.9, 1.3),
    )
    true = [joints_at(start + speed * n / 10, True)[9, 1] for n in range(1, 12)]
    assert np.corrcoef(hand, true)[0, 1] > 0.9


def test_every_frame_or_some(networks: dict[str, str], data: Path, tmp_path: Path) -> None:
    clip = data / "train" / "wave" / "s0_a.mkv"
    ((_, some),) = find_tracks([clip], **networks, every=3, cache=tmp_path)
    assert isinstance(some, Tracks) and (some.every, some.fps) == (3, pytest.approx(10 / 3))
    np.testing.assert_allclose(some.times, [0, 0.3, 0.6, 0.9], atol=2e-3)
    with pytest.raises(InputError, match="at least 1"):
        list(find_tracks([clip], **networks, every=0, cache=tmp_path))


def test_clips_are_followed_once(
    networks: dict[str, str], data: Path, tmp_path: Path, counted: list[str]
) -> None:
    copy = tmp_path / "copy.mkv"
    first = data / "train" / "wave" / "s0_a.mkv"
    copy.write_bytes(first.read_bytes())
    paths = [first, data / "train" / "still" / "s9_broken.mkv", tmp_path / "absent.mkv",
             data / "train" / "still" / "s1_a.mkv"]  # fmt: skip
    told: list[tuple[int, int]] = []
    cold = list(
        find_tracks(paths, **networks, cache=tmp_path / "c", progress=lambda *at: told.append(at))
    )
    assert [path for path, _ in cold] == paths and told == [(n, 4) for n in (1, 2, 3, 4)]
    assert [type(found) for _, found in cold] == [Tracks, InputError, InputError, Tracks]
    assert sorted(counted) == ["s0_a.mkv", "s1_a.mkv", "s9_broken.mkv"]
    counted.clear()
    again = list(find_tracks([*paths, copy], **networks, cache=tmp_path / "c"))
    assert counted == ["s9_broken.mkv"]  # what could not be read is tried again
    for one, other in ((cold[0], again[0]), (cold[0], again[4]), (cold[3], again[3])):
        assert isinstance(one[1], Tracks) and isinstance(other[1], Tracks)
        np.testing.assert_array_equal(one[1].keypoints, other[1].keypoints)
    list(find_tracks([first], **networks, every=2, cache=tmp_path / "c"))
    stores = cached(tmp_path / "c")
    assert sorted((info.kind, info.keys()) for info in stores) == [("tracks", 1), ("tracks", 2)]
    assert stores[0].models == ("tiny-detector", "tiny-pose")


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_what_a_killed_run_found_is_kept(
    networks: dict[str, str], data: Path, tmp_path: Path, counted: list[str]
) -> None:
    clips = [write_clip(tmp_path / f"{i}.mkv", True, seed=i, frames=4) for i in range(6)]
    code = (
        "import time\nfrom pathlib import Path\nfrom keyact.data.tracks import find_tracks\n"
        f"paths = {[str(clip) for clip in clips]!r}\n"
        f"for _ in find_tracks(paths, **{networks!r}, cache={str(tmp_path / 'c')!r}, jobs=1):\n"
        "    time.sleep(1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ})
    try:
        end = time.monotonic() + 60
        while not list((tmp_path / "c").glob("tracks-*/*.safetensors")):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = list(find_tracks(clips, **networks, cache=tmp_path / "c"))
    assert sorted(counted) == ["4.mkv", "5.mkv"]
    assert all(isinstance(tracks, Tracks) for _, tracks in found)


def test_unknown_networks_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        list(find_tracks([data], detector="persondet", cache=tmp_path))


def test_the_most_present_person_is_taken() -> None:
    """Large and often seen goes before small and before seldom."""
    rows = [(n, 1, 10.0) for n in range(10)] + [(n, 2, 60.0) for n in range(9)] + [(0, 3, 200.0)]
    boxes = np.array([(0, 0, side, side) for *_, side in rows], np.float32)
    tracks = Tracks(
        np.arange(10) / 5.0, np.array([r[0] for r in rows], np.int32),
        np.array([r[1] for r in rows], np.int32), boxes,
        np.full((len(rows), 17, 3), 0.5, np.float32), (300, 300), 1, 5.0,
    )  # fmt: skip
    assert tracks.most_present() == [2, 3, 1]
    assert len(tracks.recording()) == 9
    two = tracks.recording(people=2)
    assert two.people == 2 and two.mask.sum(1).tolist() == [9, 1]
    nobody = replace(
        tracks, frames=tracks.frames[:0], numbers=tracks.numbers[:0], boxes=boxes[:0],
        keypoints=tracks.keypoints[:0],
    )  # fmt: skip
    with pytest.raises(InputError, match="nobody is seen"):
        nobody.recording(name="a.mp4")


def test_labelled_clips_become_recordings(
    networks: dict[str, str], data: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(data, group_pattern=r"(s\d+)_")
    bad: list[str] = []
    empty = write_clip(tmp_path / "still" / "empty.mkv", False, frames=1)
    lone = replace(dataset.samples[0], path=empty)
    found = load_recordings(
        replace(dataset, samples=(*dataset.samples, lone)), **networks, cache=tmp_path,
        on_error=lambda source, error: bad.append(f"{source}: {error}"),
    )  # fmt: skip
    assert [Path(line.split(": ")[0]).name for line in bad] == ["s9_broken.mkv", "empty.mkv"]
    facts = {(r.name, r.label, r.split, r.group) for r in found}
    assert ("train/wave/s1_a.mkv", "wave", "train", "s1") in facts
    assert ("test/still/s2_a.mkv", "still", "test", "s2") in facts and len(facts) == 6
    shutil.copy(dataset.samples[-1].path, tmp_path / "a.mkv")
    (tmp_path / "list.csv").write_text("path,label,split,group\na.mkv,jump,val,anna\n", "utf-8")
    (one,) = load_recordings(load_dataset(tmp_path / "list.csv"), **networks, cache=tmp_path)
    assert (one.name, one.label, one.split, one.group) == ("a.mkv", "jump", "val", "anna")
    with pytest.raises(InputError, match="s9_broken"):
        load_recordings(dataset, **networks, cache=tmp_path)
    with pytest.raises(KeyactError, match="no clip could be used"):
        load_recordings(
            replace(dataset, samples=(lone,)), **networks, cache=tmp_path,
            on_error=lambda source, error: None,
        )  # fmt: skip
    with pytest.raises(KeyactError, match="holds photos"):
        load_recordings(replace(dataset, kind="photos"), **networks)


def test_what_kind_of_data_it_is(data: Path, tmp_path: Path) -> None:
    assert kind_of(data) == kind_of(load_dataset(data)) == "videos"
    listed = tmp_path / "listed"
    (listed / "clips").mkdir(parents=True)
    (listed / "clips" / "a.mp4").write_bytes(b"")
    (listed / "manifest.csv").write_text("path,label\nclips/a.mp4,wave\n", "utf-8")
    (tmp_path / "clips.csv").write_text("path,label\nlisted/clips/a.mp4,wave\n", "utf-8")
    for source, format in (("listed", None), ("listed", "manifest"), ("clips.csv", None),
                           ("nowhere", "video-folders")):  # fmt: skip
        assert kind_of(tmp_path / source, format) == "videos", source
    (listed / "notes.json").write_text("[]", "utf-8")
    assert kind_of(listed) == "sequences"  # as many key point files as clips
    (listed / "clips" / "b.mp4").write_bytes(b"")
    assert kind_of(listed) == "videos"
    (listed / "clips" / "a.jpg").write_bytes(b"")
    assert kind_of(listed) == "photos"
    table = tmp_path / "recordings.csv"
    table.write_text("video,frame,label,0_x,0_y,1_x,1_y\na,0,run,1,2,3,4\n")
    assert kind_of(table) == "sequences"  # "video" names recordings here, not files
    assert kind_of(tmp_path / "nothing") == "photos" == kind_of(None)
