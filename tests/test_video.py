from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_action, make_detector, make_pose, make_sequence

from keyact import Frame, Recognizer
from keyact.action import SequenceModel
from keyact.errors import UnknownNameError, WeightsError
from keyact.results import UNKNOWN
from keyact.runtime import OnnxModel
from keyact.sequences import Features, known_skeleton
from keyact.video import RunningVideo, VideoRecognizer, with_timeline


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    folder = tmp_path_factory.mktemp("tiny")
    make_detector(folder / "detector.onnx")
    make_pose(folder / "pose.onnx")
    make_action(folder / "action.onnx", crop_margin=1.3, unknown_threshold=0.1)
    return Recognizer(
        folder / "action.onnx", folder / "pose.onnx", folder / "detector.onnx", threads=1
    )


def walk(frames: int = 20) -> list[Frame]:
    """A red person who walks, at 10 frames per second."""
    result = []
    for number in range(frames):
        pixels = np.full((96, 128, 3), 200, np.uint8)
        pixels[20:80, 30 + number : 70 + number] = (30, 30, 230)
        result.append(Frame(pixels, "walk", number, number / 10))
    return result


def test_frames_are_numbered_and_the_timeline_is_drawn_on_them(recognizer: Recognizer) -> None:
    run = VideoRecognizer(recognizer, fps=10, sequence=False)
    results = [result for _, result in run.frames(walk())]
    assert [result.people[0].track_id for result in results] == [None] + [1] * 19
    timeline = run.timeline("walk")
    assert timeline.models == (results[0].model,)
    (segment,) = timeline.people[0].segments
    assert segment.label == results[5].people[0].action
    drawn = with_timeline(results[5], timeline, 0.5).people[0]
    assert (drawn.action, drawn.actions[0].probability) == (segment.label, segment.confidence)
    outside = with_timeline(results[5], timeline, 99.0).people[0]
    assert (outside.action, outside.actions) == (UNKNOWN, ())
    assert with_timeline(results[0], timeline, 0.0) == results[0]  # nobody has a number yet


def test_how_many_actions_are_shown_does_not_change_what_is_settled(recognizer: Recognizer) -> None:
    settled = []
    for shown in (1, 3):
        run = VideoRecognizer(recognizer.with_stages(top_k=shown), fps=10, sequence=False)
        for _, result in run.frames(walk()):
            assert len(result.people[0].actions) == len(result.image_actions) == shown
            now = run.now(1)
        settled.append((now, run.timeline("walk")))
    assert min(settled[0][0].values()) > 0
    assert settled[0] == settled[1]


def test_an_endless_stream_gives_segments_and_keeps_none(recognizer: Recognizer) -> None:
    run = VideoRecognizer(recognizer, fps=10, sequence=False, collect=False)
    for frame in walk():
        run.push(recognizer(frame.image, index=frame.index, timestamp=frame.timestamp))
    assert run.label(1) != UNKNOWN and run.label(None) == UNKNOWN
    ((number, segment),) = run.finish()
    assert number == 1 and segment.end == pytest.approx(1.9)
    assert run.timeline("walk").people == ()


@pytest.mark.parametrize(
    ("gap", "pause", "numbers", "settles"),
    [
        pytest.param(0.1, 0.0, {1}, True, id="a camera"),
        pytest.param(0.1, 9.0, {1, 2}, True, id="somebody else after a break"),
        pytest.param(0.7, 0.0, {1}, False, id="too slow to settle anything"),
        pytest.param(4.0, 7.0, {1}, False, id="a slide show has no breaks"),
    ],
)
def test_frames_that_come_at_a_pace_of_their_own(
    recognizer: Recognizer, gap: float, pause: float, numbers: set[int], settles: bool
) -> None:
    video = RunningVideo(recognizer, sequence=False)
    results = []
    for frame in walk():
        seconds = frame.index * gap + (pause if frame.index >= 10 else 0.0)
        result = recognizer(frame.image, index=frame.index, timestamp=seconds)
        results.append(video.push(result, frame.image, seconds))
    people = [result.people[0] for result in results]
    assert {person.track_id for person in people} - {None} == numbers
    assert video.settles is settles
    assert (people[-1].settled is not None) is settles
    assert people[0].settled == UNKNOWN  # of one frame nothing is known
    assert set(video.now(results[-1])) == {people[-1].track_id}


def test_frames_without_a_time_are_counted(recognizer: Recognizer) -> None:
    run = VideoRecognizer(recognizer, fps=10, sequence=False)
    for frame in walk():
        run.push(recognizer(frame.image, index=frame.index))
    assert run.timeline("walk").seconds == pytest.approx(1.9)


def test_only_networks_for_one_person_in_2d_are_taken(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError):
        VideoRecognizer(recognizer, sequence="no-such-network")
    with pytest.raises(ValueError, match="sequence is"):
        VideoRecognizer(recognizer, sequence=True)
    features = Features(known_skeleton("coco17"), frames=8, fps=8, people=2, streams=("joint",))
    pair = SequenceModel(OnnxModel(make_sequence(features=features.to_dict())), "pair")
    with pytest.raises(WeightsError, match="must be one person in 2D"):
        VideoRecognizer(recognizer, sequence=pair)
    assert VideoRecognizer(
        recognizer, sequence=SequenceModel(OnnxModel(make_sequence()), "own")
    ).models[0] == "own"  # fmt: skip
