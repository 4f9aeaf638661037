from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sequence_files as made
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import make_sequence

from keyact.action import SequenceModel, load_sequence
from keyact.action.nothing import NoActions
from keyact.errors import InputError, UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.outputs import draw_timeline
from keyact.results import Action, FrameResult, Person
from keyact.runtime import OnnxModel
from keyact.timeline import (
    Evidence,
    Hysteresis,
    LiveTimeline,
    PersonTimeline,
    Segment,
    Segmenter,
    VideoTimeline,
    track_segments,
)

PHOTO = ("arms up", "golf")


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    return SequenceModel(OnnxModel(make_sequence(), threads=1), "tiny-sequence")


def pose(up: bool) -> np.ndarray:
    """(17, 3) in pixels, wrists above or below the shoulders."""
    points = made.picture(made.body("coco17") * 2)
    layout = get_layout("coco17")
    if up:
        for side in ("left", "right"):
            points[layout.index(f"{side}_wrist"), 1] = points[layout.index("nose"), 1] - 40
    return np.concatenate([points, np.full((17, 1), 0.9)], 1)


def ranked(actions: dict[str, float]) -> tuple[Action, ...]:
    order = sorted(actions, key=lambda label: -actions[label])
    return tuple(Action(label=label, probability=actions[label]) for label in order)


def frames(
    plan: list[tuple[float, bool]], fps: float = 20.0, track: int = 1, golf: float = 0.1,
    skip: float = 0.0, seed: int = 0,
) -> list[FrameResult]:  # fmt: skip
    """A person who has the arms up or not for so many seconds each."""
    rng = np.random.default_rng(seed)
    result = []
    number = 0
    for seconds, up in plan:
        for _ in range(round(seconds * fps)):
            points = pose(up) + np.append(rng.normal(0, 1.0, 2), 0)
            number += 1
            if rng.random() < skip:
                continue
            person = Person(
                box=(0, 0, 300, 300), box_score=0.9, score=2, layout="coco17", keypoints=points,
                track_id=track, action="unknown",
                actions=ranked({"golf": golf, "arms up": 0.3 * up}),
            )  # fmt: skip
            result.append(
                FrameResult(source="clip", index=number, timestamp=5 + number / fps,
                            width=400, height=400, image_only=False, people=(person,),
                            timings_ms={}, model="m")
            )  # fmt: skip
    return result


def live(evidence: Evidence, results: list[FrameResult]) -> tuple[LiveTimeline, list[Segment]]:
    timeline = LiveTimeline(evidence)
    ended = [segment for result in results for _, segment in timeline.push(result)]
    return timeline, ended + [segment for _, segment in timeline.finish()]


def offline(evidence: Evidence, results: list[FrameResult]) -> tuple[Segment, ...]:
    people = [result.people[0] for result in results]
    seconds = np.array([result.timestamp for result in results])
    joints = np.zeros((len(people), 17, 3), np.float32)
    if evidence.sequence is not None:
        joints = np.stack([evidence.sequence.joints(p.keypoints, p.layout) for p in people])
    return track_segments(
        evidence, seconds, joints, np.stack([evidence.photo_row(person) for person in people])
    )


def test_what_somebody_does_when(model: SequenceModel) -> None:
    evidence = Evidence.of(model, PHOTO, 0.5)
    plan = [(3.0, True), (3.0, False)]
    found = offline(evidence, frames(plan))
    assert [segment.label for segment in found] == ["arms up", "arms down"]
    # The photo model knows "arms up" and is not sure of it, so both together are less sure.
    assert found[0].confidence < found[1].confidence
    assert found[0].start == pytest.approx(5.05) and found[1].end == pytest.approx(11)
    assert found[0].end == pytest.approx(8.05, abs=0.6) and found[0].end <= found[1].start


@settings(max_examples=25, deadline=None)
@given(
    plan=st.lists(st.tuples(st.sampled_from([0.2, 0.7, 1.3, 2.5]), st.booleans()), min_size=1,
                  max_size=5),
    fps=st.sampled_from([7.0, 20.0, 29.97]),
    skip=st.sampled_from([0.0, 0.4]),
    with_model=st.booleans(),
)  # fmt: skip
def test_the_stream_says_the_same_as_the_whole(
    model: SequenceModel, plan: list[tuple[float, bool]], fps: float, skip: float, with_model: bool
) -> None:
    evidence = Evidence.of(model if with_model else None, PHOTO, 0.5)
    results = frames(plan, fps, golf=0.7, skip=skip)
    if not results:
        return
    whole, (_, streamed) = offline(evidence, results), live(evidence, results)
    assert [s.label for s in whole] == [s.label for s in streamed]
    for one, other in zip(whole, streamed, strict=True):
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=1e-5)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


def test_memory_does_not_grow_with_the_video(model: SequenceModel) -> None:
    timeline = LiveTimeline(Evidence.of(model, PHOTO, 0.5), collect=False)
    held = []
    for result in frames([(1.0, True), (1.0, False)] * 20):
        timeline.push(result)
        held.append(timeline.held)
    # A window of frames at 20 fps, and the cells of a window.
    assert max(held) == max(held[:100]) <= 20 * model.window + 3 + 2 * model.window / model.step
    timeline.finish()
    assert timeline.held == 0 and timeline.timeline("x", ()).people == ()


def test_the_label_of_now_follows_within_a_window(model: SequenceModel) -> None:
    timeline = LiveTimeline(Evidence.of(model, (), 0.5))
    said = []
    for result in frames([(3.0, True), (3.0, False)]):
        timeline.push(result)
        said.append(timeline.label(1))
    assert said[0] is None and said[55] == "arms up" and said[-1] == "arms down"
    assert timeline.label(9) is None


def test_somebody_who_leaves_is_finished_and_may_come_back(model: SequenceModel) -> None:
    timeline = LiveTimeline(Evidence.of(model, (), 0.5), lost_seconds=1)
    results = frames([(3.0, True), (4.0, False), (3.0, True)])
    ended = []
    for result in results:
        away = 8 < (result.timestamp or 0) < 12
        ended += timeline.push(result.model_copy(update={"people": ()}) if away else result)
    assert [segment.label for _, segment in ended] == ["arms up"]
    timeline.finish()
    (person,) = timeline.timeline("clip", ("m",)).people
    assert [segment.label for segment in person.segments] == ["arms up", "arms up"]
    assert (person.start, person.end) == pytest.approx((5.05, 15))


def test_a_clip_shorter_than_a_window_is_stretched_to_one(model: SequenceModel) -> None:
    evidence = Evidence.of(model, (), 0.5)
    (segment,) = offline(evidence, frames([(0.7, True)]))
    assert segment.label == "arms up"
    assert offline(evidence, frames([(0.3, True)])) == ()  # too short to say


def test_frames_alone_make_a_timeline_too() -> None:
    evidence = Evidence.of(None, PHOTO, 0.5)
    (segment,) = offline(evidence, frames([(2.0, True)], golf=0.8))
    assert (segment.label, segment.confidence) == ("golf", pytest.approx(0.8))
    assert offline(evidence, frames([(2.0, True)], golf=0.4)) == ()
    assert offline(Evidence.of(None, (), 0.5), frames([(1.0, True)])) == ()
    strict = Evidence.of(None, PHOTO, 0.5, min_confidence=0.9)
    assert offline(strict, frames([(2.0, True)], golf=0.8)) == ()


@pytest.mark.parametrize(("fps", "segments"), [(5.0, 1), (2.0, 1), (1.0, 1), (0.5, 0)])
def test_a_verdict_stands_while_a_slow_machine_looks_elsewhere(fps: float, segments: int) -> None:
    evidence = Evidence.of(None, PHOTO, 0.5)
    results = frames([(8.0, True)], fps=fps, golf=0.8)
    assert len(offline(evidence, results)) == segments
    timeline, streamed = live(evidence, results)
    assert tuple(streamed) == offline(evidence, results)
    assert timeline.label(1) is None


@pytest.mark.parametrize(("fps", "asked"), [(20.0, True), (4.0, True), (2.0, False)])
def test_a_few_glimpses_are_no_movement(model: SequenceModel, fps: float, asked: bool) -> None:
    evidence = Evidence.of(model, (), 0.5)
    results = frames([(8.0, True)], fps=fps)
    assert bool(offline(evidence, results)) == asked
    _, streamed = live(evidence, results)
    assert tuple(streamed) == offline(evidence, results)


def test_key_points_that_were_not_measured_are_no_movement(model: SequenceModel) -> None:
    evidence = Evidence.of(model, (), 0.5)
    results = frames([(8.0, True)], fps=20)
    aged = [
        result.model_copy(
            update={
                "people": tuple(
                    p.model_copy(update={"pose_age": number % 10}) for p in result.people
                )
            }
        )
        for number, result in enumerate(results)
    ]
    assert live(evidence, results)[1] and not live(evidence, aged)[1]


def test_what_speaks_for_an_action_now(model: SequenceModel) -> None:
    timeline = LiveTimeline(Evidence.of(None, PHOTO, 0.5))
    assert timeline.now(1) == {}
    for result in frames([(1.0, True)], golf=0.8):
        timeline.push(result)
    assert timeline.now(1)["golf"] == pytest.approx(0.8)
    for result in frames([(1.3, True)], golf=0.2)[20:]:
        timeline.push(result)
    # After one time constant the old verdict counts for 1/e.
    assert timeline.now(1)["golf"] == pytest.approx(0.2 + 0.6 / np.e, abs=0.05)
    both = LiveTimeline(Evidence.of(model, PHOTO, 0.5))
    for result in frames([(6.0, True)], golf=0.1):
        both.push(result)
    now = both.now(1)
    assert list(now) == ["arms up", "arms down", "golf"] and max(now, key=now.get) == "arms up"


def test_movement_goes_before_what_single_frames_look_like(model: SequenceModel) -> None:
    evidence = Evidence.of(model, PHOTO, 0.5)
    assert evidence.labels == ("arms up", "arms down", "golf")
    np.testing.assert_allclose(evidence.thresholds, [0.55, 0.6, 0.5])
    sure, unsure = np.array([0.1, 0.9]), np.array([0.5, 0.5])
    photo = np.array([0.1, 0.8])
    np.testing.assert_allclose(evidence.combine(sure, photo), [0.1, 0.9, 0.08], atol=1e-6)
    np.testing.assert_allclose(evidence.combine(unsure, photo), [0.3, 0.5, 0.4], atol=1e-6)
    np.testing.assert_allclose(evidence.combine(None, photo), [0.1, 0, 0.8], atol=1e-6)
    np.testing.assert_allclose(evidence.combine(sure, None), [0.1, 0.9, 0], atol=1e-6)


def run(rows: list[float | None], **rules: float) -> list[tuple[int, int]]:
    """Runs of the one label over cells of a second, from its probability."""
    segmenter = Segmenter(np.array([0.5]), 1.0, Hysteresis(**rules))
    cells = [None if row is None else np.array([row]) for row in rows]
    found = [segmenter.push(cell) for cell in cells] + [segmenter.finish()]
    return [(r.first, r.last) for r in found if r is not None]


def test_hysteresis() -> None:
    calm = {"confirm": 2.0}
    assert run([0.9] * 4 + [0.1] * 4, **calm) == [(0, 3)]
    assert run([0.1, 0.9, 0.1, 0.1, 0.9, 0.1], **calm) == []  # too short to have happened
    assert run([0.9] * 3 + [0.1] + [0.9] * 3, **calm) == [(0, 6)]  # a moment of doubt
    assert run([0.9, 0.9] + [0.4] * 4, **calm) == [(0, 5)]  # below the threshold, and kept
    assert run([0.9, 0.9] + [0.3] * 4, **calm) == [(0, 1)]
    assert run([0.9, 0.9, None, 0.9], **calm) == [(0, 3)]  # nobody looked for a second
    assert run([0.9, 0.9] + [None] * 5, **calm) == [(0, 2)]  # it does not stand for ever
    assert run([None, 0.9, 0.9], **calm) == [(1, 2)]
    assert run([0.9, None, 0.1, 0.1, 0.1], **calm) == []  # one look confirms nothing
    assert run([0.9, None, 0.9, 0.1, 0.1], **calm) == [(0, 2)]
    assert run([0.9], **calm) == []  # who is only there for a moment does nothing
    assert run([0.9, 0.1, 0.9], confirm=0.0) == [(0, 0), (2, 2)]
    with pytest.raises(ValueError, match="out of range"):
        Hysteresis(keep=0)


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 4))
def test_runs_are_in_order_apart_and_long_enough(labels: list[int], confirm: int) -> None:
    segmenter = Segmenter(np.array([0.5, 0.5]), 1.0, Hysteresis(confirm=confirm))
    rows = [np.array([0.9 * (label == 0), 0.9 * (label == 1)]) for label in labels]
    found = [segmenter.push(row) for row in rows] + [segmenter.finish()]
    runs = [run for run in found if run is not None]
    for run_ in runs:
        assert run_.last - run_.first + 1 >= confirm
        assert labels[run_.first] == labels[run_.last] == run_.label
        assert 0 <= run_.confidence <= 0.9 + 1e-9
    assert all(a.last < b.first for a, b in pairwise(runs))


def test_a_timeline_is_kept_as_json() -> None:
    timeline = VideoTimeline(
        source="a.mp4", seconds=9.0, models=("m",),
        people=(PersonTimeline(track_id=1, start=0, end=9, segments=(
            Segment(start=1, end=2.5, label="golf", confidence=0.9),)),),
    )  # fmt: skip
    assert VideoTimeline.from_json(timeline.to_json()) == timeline
    assert timeline.people[0].at(1.5) is not None and timeline.people[0].at(2.6) is None
    for text in ("{}", "nonsense", timeline.to_json().replace("2.5", "0.5")):
        with pytest.raises(InputError, match="bad timeline JSON"):
            VideoTimeline.from_json(text)


def test_the_picture_has_a_lane_per_person_and_a_colour_per_action() -> None:
    def person(number: int, *labels: str) -> PersonTimeline:
        segments = tuple(
            Segment(start=3 * i, end=3 * i + 3, label=label, confidence=0.8)
            for i, label in enumerate(labels)
        )
        return PersonTimeline(track_id=number, start=0, end=12, segments=segments)

    def picture(*people: PersonTimeline) -> np.ndarray:
        return draw_timeline(
            VideoTimeline(source="a_$x$.mp4", seconds=12, models=(), people=people)
        )

    blue, orange = (0xB2, 0x72, 0x00), (0x00, 0x9F, 0xE6)  # BGR

    def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
        return int((image == colour).all(-1).sum())

    one, two = picture(person(1, "golf")), picture(person(1, "golf"), person(2, "golf", "row $"))
    assert one.dtype == np.uint8 and one.shape[2] == 3 and two.shape[0] > one.shape[0]
    assert count(one, blue) > 5000 and not count(one, orange)
    assert count(two, blue) > 1.5 * count(one, blue) and count(two, orange) > 5000
    assert picture().size and picture(*(person(i) for i in range(40))).size


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["a", "a"]}, {"features": {}}, {"temperature": 0},
        {"stride": 99}, {"unknown_threshold": 2}, {"kind": "action"}, {"seen_score": "x"},
    ],
)  # fmt: skip
def test_networks_of_another_kind_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        SequenceModel(OnnxModel(make_sequence(**change)), "x")


def test_sequence_networks_are_found_by_name_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYACT_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    make_sequence(tmp_path / "models" / "own.onnx")
    assert load_sequence("tiny-sequence").labels == ("arms up", "arms down")  # type: ignore[union-attr]
    assert load_sequence(tmp_path / "models" / "own.onnx") is not None
    with pytest.raises(UnknownNameError, match="sequence model"):
        load_sequence("tiny-sequenze")


@pytest.mark.parametrize(
    ("asked", "beside", "found"),
    [
        (None, None, "penn-tcn"),
        (None, "keypoint-fusion", "penn-tcn"),
        (None, "own", None),  # which has actions of its own
        ("penn-tcn", "own", "penn-tcn"),
        ("none", "keypoint-fusion", None),
    ],
)
def test_the_bundled_network_goes_with_the_bundled_photo_model(
    asked: str | None, beside: str | None, found: str | None
) -> None:
    model = None if beside is None else Named(beside)
    network = load_sequence(asked, 1, model)
    assert (network and network.name) == found


class Named(NoActions):
    def __init__(self, name: str) -> None:
        self.name = name


def test_the_background_is_given_to_nobody(model: SequenceModel) -> None:
    other = SequenceModel(OnnxModel(make_sequence(background="arms down")), "x")
    assert other.labels == ("arms up",)
    x = np.random.default_rng(0).normal(0, 0.2, (5, *model.features.shape)).astype(np.float32)
    np.testing.assert_allclose(other(x)[:, 0], model(x)[:, 0])
    assert (other(x).sum(1) < 1).all()
    with pytest.raises(WeightsError):
        SequenceModel(OnnxModel(make_sequence(labels=("arms up",) * 2, background="arms up")), "x")


def test_seen_scores_count_as_annotators_count(model: SequenceModel) -> None:
    marked = SequenceModel(OnnxModel(make_sequence(seen_score=0.4)), "x")
    points = np.ones((17, 3))
    points[:3, 2] = (0.0, 0.3, 0.4)
    assert marked.joints(points, "coco17")[:3, 2].tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(model.joints(points, "coco17")[:3, 2], [0, 0.3, 0.4])
