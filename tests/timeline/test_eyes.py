"""Sequence networks that look at the pictures: cut out, put together, run live and offline."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_models import make_action, make_fusion, make_glancing, make_sequence

from keyact import action, weights
from keyact.action import SequenceModel
from keyact.action.eyes import INPUTS, OUTPUT, Eyes
from keyact.action.keypoint_fusion import person_crops, photo_squares, whole_photo
from keyact.action.nothing import NoActions
from keyact.errors import InputError, WeightsError
from keyact.recognizer import Frame, Recognizer
from keyact.results import FrameResult, Person
from keyact.runtime import OnnxModel
from keyact.sequences import Glances
from keyact.timeline import Evidence, LiveTimeline, track_segments
from keyact.train.eyes import EyesFile, eyes_of, with_eyes
from keyact.video import VideoRecognizer

BOX = (20.0, 10.0, 80.0, 90.0)


def picture(red: bool, seed: int = 0) -> np.ndarray:
    """(96, 128, 3) BGR, a person of one colour before grey."""
    image = np.random.default_rng(seed).integers(90, 110, (96, 128, 3)).astype(np.uint8)
    image[10:90, 20:80] = (20, 20, 220) if red else (220, 20, 20)
    return image


def pose(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(20, 80, 17), rng.uniform(10, 90, 17), np.full(17, 0.8)])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> EyesFile:
    path = tmp_path_factory.mktemp("fusion") / "fusion.onnx"
    make_fusion(path)
    return eyes_of(path)


def model(eyes: EyesFile, **changes: Any) -> SequenceModel:
    data = make_glancing(eyes=eyes.about, **changes)
    return SequenceModel(OnnxModel(with_eyes(data, eyes.data), threads=1), "tiny-glancing")


def test_the_bundled_networks_features_are_what_its_last_layer_is_given() -> None:
    """Glances are those numbers of keypoint-fusion, and its file's hash is kept."""
    (entry,) = [entry for entry in weights.entries("action") if entry.name == "keypoint-fusion"]
    found = eyes_of("keypoint-fusion")
    assert found.about["sha256"] == entry.sha256 and found.about["name"] == "keypoint-fusion"
    eyes, image = found.load(threads=1), picture(True)
    boxes, points = [BOX, (60, 5, 120, 90)], np.stack([pose(1), pose(2)]).astype(np.float32)
    seen = eyes(image, boxes, points)
    assert seen.shape == (2, found.about["width"]) and np.isfinite(seen).all()
    proto = onnx.load(str(entry.path))
    (fuse,) = [n for n in proto.graph.node if "fuse" in n.name and n.op_type == "Concat"]
    proto.graph.output.append(
        onnx.helper.make_tensor_value_info(fuse.output[0], onnx.TensorProto.FLOAT, None)
    )
    meta = json.loads(next(p.value for p in proto.metadata_props if p.key == "keyact"))
    crops, placed = person_crops(image, boxes, points, meta["input"][0], meta["crop_margin"])
    network = OnnxModel(proto.SerializeToString(), threads=1)
    squares = photo_squares(image, network.inputs["squares"][1])
    context = whole_photo(image, meta["input"][0])[None]
    whole = network.run(
        {"context": context, "crop": crops, "keypoints": placed, "squares": squares}
    )
    assert set(OnnxModel(found.data).inputs) == set(INPUTS)  # the scene is left out
    np.testing.assert_allclose(seen, whole[fuse.output[0]], atol=1e-4)
    np.testing.assert_array_equal(eyes(image, np.zeros((0, 4)), np.zeros((0, 17, 3))).shape,
                                  (0, eyes.width))  # fmt: skip


def test_one_file_has_two_halves(tiny: EyesFile) -> None:
    both, alone = model(tiny), SequenceModel(OnnxModel(make_sequence()), "x")
    assert alone.eyes is None and both.eyes is not None
    assert both.eyes.about == tiny.about and both.features.glances == both.eyes.width == 7
    seen, points = picture(True), pose()[None].astype(np.float32)
    np.testing.assert_array_equal(
        both.eyes(seen, [BOX], points), tiny.load(threads=1)(seen, [BOX], points)
    )
    x = np.random.default_rng(0).normal(0, 1, (3, *both.features.shape)).astype(np.float32)
    plain = OnnxModel(make_glancing(), threads=1).run({"x": x})["logits"]
    np.testing.assert_allclose(both(x), np.exp(plain) / np.exp(plain).sum(1, keepdims=True),
                               atol=1e-5)  # fmt: skip
    assert both(x[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("about", "change"),
    [
        ({"width": 8}, {}), ({"width": None}, {}), ({"every": 0}, {}), ({"input": []}, {}),
        ({"crop_margin": 99}, {}), ({}, {"eyes": 3}), ({}, {"eyes": {}}),
    ],
)  # fmt: skip
def test_eyes_that_do_not_fit_are_refused(
    tiny: EyesFile, about: dict[str, Any], change: dict[str, Any]
) -> None:
    data = make_glancing(**{"eyes": {**tiny.about, **about}, **change})
    with pytest.raises(WeightsError):
        SequenceModel(OnnxModel(with_eyes(data, tiny.data)), "x")


def test_a_file_without_its_eyes_is_refused(tiny: EyesFile) -> None:
    with pytest.raises(WeightsError, match="inputs"):
        SequenceModel(OnnxModel(make_glancing(eyes=tiny.about)), "x")
    with pytest.raises(WeightsError, match="do not fit"):
        SequenceModel(OnnxModel(make_glancing()), "x")


def test_only_keypoint_fusion_has_eyes(tmp_path: Any) -> None:
    make_action(tmp_path / "other.onnx")
    with pytest.raises(InputError, match="only a keypoint-fusion network"):
        eyes_of(tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match="cannot look"):
        Eyes(OnnxModel(make_action()), {"width": 3, "every": 1, "input": [64], "crop_margin": 1})


def test_glances_are_a_few_a_second(tiny: EyesFile) -> None:
    eyes = tiny.load()
    times = np.arange(0, 2, 1 / 30)
    at = times[eyes.moments(times)]
    assert len(at) == 8 and (np.diff(at) >= eyes.every - 1e-6).all()
    assert eyes.moments([0.0, 5.0, 5.1]).tolist() == [0, 1] and eyes.moments([]).tolist() == []


def test_between_glances_lies_a_straight_line() -> None:
    glances = Glances(np.array([2.0, 4.0]), np.array([[0.0, 1.0], [1.0, 1.0]], np.float16))
    np.testing.assert_allclose(glances([0, 2, 3, 9])[:, 0], [0, 0, 0.5, 1])
    cut = glances.cut(3, 9)
    assert cut is not None and cut.at.tolist() == [1.0] and glances.cut(5, 6) is None
    for at, vectors in (
        ([1, 1], [[0], [0]]),
        ([1], [[np.nan]]),
        ([], np.zeros((0, 2))),
        ([1], [0]),
    ):
        with pytest.raises(InputError):
            Glances(np.array(at, float), np.array(vectors, float))


def results(colours: list[bool], fps: float) -> list[tuple[np.ndarray, FrameResult]]:
    made = []
    for number, red in enumerate(colours):
        person = Person(
            box=BOX, box_score=0.9, score=2, layout="coco17", keypoints=pose(), action="unknown",
            actions=(), track_id=1,
        )  # fmt: skip
        result = FrameResult(
            source="clip", index=number, timestamp=3 + number / fps, width=128, height=96,
            image_only=False, people=(person,), timings_ms={}, model="none",
        )  # fmt: skip
        made.append((picture(red, number), result))
    return made


@pytest.mark.parametrize("fps", [10.0, 29.97])
def test_the_stream_says_the_same_as_the_whole_and_memory_does_not_grow(
    tiny: EyesFile, fps: float
) -> None:
    network = model(tiny)
    evidence = Evidence.of(network, (), 0.5)
    frames = results([n / fps % 5 < 2.5 for n in range(round(15 * fps))], fps)
    timeline = LiveTimeline(evidence)
    streamed, held, glances = [], [], []
    for image, result in frames:
        seconds = float(result.timestamp or 0)
        looked = {}
        if timeline.due(1, seconds):
            assert network.eyes is not None
            looked[1] = network.eyes(image, [BOX], pose()[None])[0]
            glances.append((seconds, looked[1]))
        streamed += [segment for _, segment in timeline.push(result, glances=looked)]
        held.append(timeline.held)
    streamed += [segment for _, segment in timeline.finish()]
    times = np.array([float(result.timestamp or 0) for _, result in frames])
    assert network.eyes is not None
    assert times[network.eyes.moments(times)].tolist() == [at for at, _ in glances]
    joints = np.stack([network.joints(pose(), "coco17")] * len(times))
    seen = Glances(np.array([at for at, _ in glances]), np.stack([row for _, row in glances]))
    whole = track_segments(evidence, times, joints, np.zeros((len(times), 0)), glances=seen)
    assert [s.label for s in whole] == [s.label for s in streamed] == ["red", "blue"] * 3
    for one, other in zip(whole, streamed, strict=True):
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=1e-5)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert max(held) == max(held[: round(4 * fps)])
    assert timeline.held == 0


def test_a_video_is_looked_at(tiny: EyesFile) -> None:
    """Through the recogniser: the same person in the same pose, in red and then in blue."""

    class Detector:
        name = "one"

        def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.array([BOX], np.float32), np.array([0.9], np.float32)

    class Pose:
        name, layout = "one", "coco17"

        def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return np.asarray(pose()[None], np.float32)

    frames = [Frame(picture(n < 30, n), "clip", n, n / 10) for n in range(60)]
    recognizer = Recognizer(NoActions(), Pose(), Detector())
    run = VideoRecognizer(recognizer, 10, sequence=model(tiny))
    assert len(list(run.frames(frames))) == 60
    (person,) = run.timeline("clip").people
    assert [segment.label for segment in person.segments] == ["red", "blue"]
    assert person.segments[0].end == pytest.approx(3, abs=0.6)
    # Without the pictures it goes by the key points alone, which say nothing here.
    blind = VideoRecognizer(recognizer, 10, sequence=model(tiny))
    for result in recognizer.recognize_many(frames):
        blind.push(result)
    blind.finish()
    assert [p.segments for p in blind.timeline("clip").people] == [()]


def test_recordings_without_glances_are_refused(tiny: EyesFile, tmp_path: Any) -> None:
    from keyact.action.clips import ClipModel
    from keyact.sequences import Sequence

    path = tmp_path / "model.onnx"
    path.write_bytes(with_eyes(make_glancing(eyes=tiny.about), tiny.data))
    clip = ClipModel(path)
    points = np.repeat(pose()[None], 8, 0)
    plain = Sequence.of(points[..., :2], points[..., 2], "coco17", name="a", fps=8)
    with pytest.raises(InputError, match="give it the video clips"):
        clip(plain)
    for red in (True, False):
        assert action.load_sequence(path) is not None
        looked = clip.windows.eyes(picture(red), [BOX], pose()[None])  # type: ignore[misc]
        answer = clip(replace(plain, glances=Glances(np.array([3.0]), looked)))
        assert clip.labels[int(answer.argmax())] == ("red" if red else "blue")
    short = replace(plain, glances=Glances(np.array([3.0]), looked[:, :3]))
    with pytest.raises(InputError, match="glances of 3 numbers"):
        clip(short)
    assert set(INPUTS) | {"x"} == set(OnnxModel(path).inputs) and OUTPUT in OnnxModel(path).outputs
