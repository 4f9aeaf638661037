"""Videos through ``keyact predict``: tracks, timeline, annotated copy, picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from onnx_models import make_sequence

from keyact.media import iter_frames
from keyact.outputs import VideoWriter
from keyact.results import FrameResult
from keyact.timeline import VideoTimeline


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A red person who walks for two seconds; the tiny networks see it."""
    path = tmp_path / "walk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(20):
            pixels = np.full((96, 128, 3), 200, np.uint8)
            pixels[20:80, 30 + number : 70 + number] = (30, 30, 230)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


TINY = ("--model", "tiny-action", "--pose", "tiny-pose", "--detector", "tiny-detector")


def test_a_video_gets_tracks_a_timeline_a_copy_and_a_picture(invoke: Any, clip: Path) -> None:
    done = invoke(
        "predict", clip, *TINY, "--json", "r.jsonl", "--timeline", "t.jsonl", "--save", "out"
    )
    assert done.exit_code == 0, done.stderr
    results = [FrameResult.from_json(line) for line in Path("r.jsonl").read_text().splitlines()]
    assert [person.track_id for r in results for person in r.people] == [None] + [1] * 19
    (timeline,) = map(VideoTimeline.from_json, Path("t.jsonl").read_text().splitlines())
    (person,) = timeline.people
    assert timeline.source == str(clip) and timeline.models == ("tiny-action",)
    (segment,) = person.segments
    assert segment.label == "red" and segment.end == pytest.approx(1.9)
    assert "#1" in done.stdout and "red" in done.stdout
    assert sorted(p.name for p in Path("out").iterdir()) == ["walk.mp4", "walk.timeline.png"]
    picture = cv2.imread("out/walk.timeline.png")
    assert picture is not None and picture.std() > 10
    with av.open("out/walk.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_a_sequence_network_has_its_say(invoke: Any, clip: Path) -> None:
    make_sequence(Path("own.onnx"), labels=("arms up", "arms down"), unknown_threshold=0.0)
    done = invoke("predict", clip, *TINY, "--timeline", "-", "--sequence", "own.onnx")
    assert done.exit_code == 0, done.stderr
    timeline = json.loads(done.stdout)
    assert timeline["models"] == ["tiny-sequence", "tiny-action"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--sequence", "nothing"], 2, "unknown sequence model 'nothing'"),
        (["--sequence", "missing.onnx"], 1, "missing.onnx"),
        (["--timeline", "-", "--json", "-"], 2, "only one of"),
    ],
)
def test_wrong_options_cost_no_file(
    invoke: Any, clip: Path, arguments: list[str], status: int, message: str
) -> None:
    Path("r.csv").write_text("old")
    done = invoke("predict", clip, *TINY, "--csv", "r.csv", *arguments)
    assert done.exit_code == status and message in done.stderr
    assert Path("r.csv").read_text() == "old"


def test_a_sequence_network_says_that_it_names_nothing_in_photos(
    invoke: Any, clip: Path, tmp_path: Path
) -> None:
    make_sequence(Path("own.onnx"), labels=("arms up", "arms down"), unknown_threshold=0.0)
    with av.open(str(clip)) as source:
        next(source.decode(video=0)).to_image().save(tmp_path / "still.png")
    said = "a sequence network names actions in videos; of photos it gives none"
    assert said in invoke("predict", "still.png", *TINY[2:], "--model", "own.onnx").stderr
    assert said not in invoke("predict", clip, *TINY[2:], "--model", "own.onnx").stderr


def test_without_tracks_each_frame_is_for_itself(invoke: Any, clip: Path) -> None:
    done = invoke("predict", clip, *TINY, "--json", "r.jsonl", "--save", "out", "--no-track")
    assert done.exit_code == 0
    lines = map(json.loads, Path("r.jsonl").read_text().splitlines())
    assert {person["track_id"] for line in lines for person in line["people"]} == {None}
    assert [p.name for p in Path("out").iterdir()] == ["walk.mp4"]


def test_the_copy_keeps_the_pace_of_frames_at_times_of_their_own(
    invoke: Any, tmp_path: Path
) -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.9, 1.5, 2.1]
    with VideoWriter(tmp_path / "phone.mp4", 30) as writer:
        for seconds in times:
            writer.write(np.full((96, 128, 3), 200, np.uint8), seconds)
    for every, options in ((1, []), (2, ["--every", "2"])):
        done = invoke("predict", tmp_path / "phone.mp4", *TINY, "--save", "out", *options)
        assert done.exit_code == 0, done.stderr
        shown = [seconds for _, seconds, _ in iter_frames("out/phone.mp4")]
        assert shown == pytest.approx(times[::every], abs=2e-3)


def test_of_a_damaged_video_the_part_before_is_written(invoke: Any, clip: Path) -> None:
    whole = clip.read_bytes()
    broken = clip.with_suffix(".mpg")
    with av.open(str(clip)) as source, av.open(str(broken), "w") as target:
        stream = target.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for frame in source.decode(video=0):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="bgr24"),
                                                               format="bgr24")))  # fmt: skip
        target.mux(stream.encode(None))
    broken.write_bytes(broken.read_bytes()[: len(broken.read_bytes()) // 2])
    clip.write_bytes(whole[: len(whole) // 3])
    done = invoke("predict", broken, clip, *TINY, "--timeline", "t.jsonl", "--save", "out")
    assert done.exit_code == 1 and "walk.mp4" in done.stderr
    assert len(Path("t.jsonl").read_text().splitlines()) == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["walk.mp4", "walk.timeline.png"]
