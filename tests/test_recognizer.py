from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import keyact
from keyact.errors import InputError, UnknownNameError
from keyact.layouts import get_layout
from keyact.pose.precomputed import GivenPeople
from keyact.recognizer import Frame, Recognizer
from keyact.results import UNKNOWN, FrameResult

LABELS = ("archery", "boxing", "cricket", "diving")
BOXES = np.array([[10, 10, 60, 110], [70, 10, 120, 110], [130, 10, 180, 110]], np.float32)


class Detector:
    """Finds the given boxes in every photo."""

    name = "fake-detector"

    def __init__(self, boxes: NDArray[np.float32] = BOXES) -> None:
        self.boxes = boxes
        self.seen: list[NDArray[np.uint8]] = []

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.seen.append(image)
        scores = np.linspace(0.9, 0.5, len(self.boxes), dtype=np.float32)
        return self.boxes.reshape(-1, 4), scores


class Pose:
    """Spreads the joints over the box, each at its own place."""

    name = "fake-pose"

    def __init__(self, layout: str = "coco17") -> None:
        self.layout = layout

    def __call__(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        joints = len(get_layout(self.layout))
        places = np.random.default_rng(0).random((joints, 2))
        points = np.full((len(boxes), joints, 3), 0.8, np.float32)
        for i, (x1, y1, x2, y2) in enumerate(boxes):
            points[i, :, :2] = places * (x2 - x1, y2 - y1) + (x1, y1)
        return points


class Model:
    """Person n gets the n-th label, the photo the last one."""

    name = "fake-model"
    labels = LABELS
    unknown_threshold = 0.6

    def __init__(self, probability: float = 0.7) -> None:
        self.probability = probability
        self.keypoints: list[NDArray[np.float32]] = []

    def __call__(
        self,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        keypoints: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.keypoints.append(keypoints)
        rest = (1 - self.probability) / (len(LABELS) - 1)
        rows = np.full((len(boxes) + 1, len(LABELS)), rest, np.float32)
        for i in range(len(boxes)):
            rows[i, i % len(LABELS)] = self.probability
        rows[-1, -1] = self.probability
        return rows[:-1], rows[-1]


def recognizer(**options: object) -> Recognizer:
    parts: dict[str, object] = {"model": Model(), "pose": Pose(), "detector": Detector()}
    return Recognizer(**{**parts, **options})  # type: ignore[arg-type]


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, (120, 200, 3), np.uint8)


def test_a_photo_becomes_a_result(photo: NDArray[np.uint8]) -> None:
    result = recognizer()(photo, source="camera", index=3, timestamp=0.5)
    assert (result.source, result.index, result.timestamp) == ("camera", 3, 0.5)
    assert (result.width, result.height, result.model) == (200, 120, "fake-model")
    assert not result.image_only
    assert result.image_action == "diving"
    assert sorted(person.box for person in result.people) == [tuple(box) for box in BOXES.tolist()]
    assert {person.action for person in result.people} == {"archery", "boxing", "cricket"}
    for person in result.people:
        assert person.layout == "coco17"
        assert person.posture
        # mean 0.8 + box score + 1.25 * 0.8: AlphaPose's pose score
        assert person.score == pytest.approx(0.8 + person.box_score + 1.0, abs=1e-3)
        probabilities = [action.probability for action in person.actions]
        assert probabilities == sorted(probabilities, reverse=True)
    assert FrameResult.from_json(result.to_json()) == result


def test_timings_add_up(photo: NDArray[np.uint8]) -> None:
    timings = recognizer()(photo).timings_ms
    assert set(timings) == {"decode", "detect", "pose", "action", "total"}
    parts = sum(value for stage, value in timings.items() if stage != "total")
    assert timings["total"] == pytest.approx(parts, abs=0.05)


def test_a_photo_without_a_person_still_gets_its_own_action(photo: NDArray[np.uint8]) -> None:
    result = recognizer(detector=Detector(np.zeros((0, 4), np.float32)))(photo)
    assert result.people == ()
    assert result.image_only
    assert result.image_action == "diving"


@pytest.mark.parametrize(
    ("probability", "min_confidence", "named"),
    [
        (0.7, None, True),  # the model's own threshold is 0.6
        (0.5, None, False),
        (0.5, 0.4, True),
        (0.7, 0.9, False),
        (0.3, 0.0, True),
    ],
)
def test_an_unsure_action_is_unknown(
    photo: NDArray[np.uint8], probability: float, min_confidence: float | None, named: bool
) -> None:
    result = recognizer(model=Model(probability), min_confidence=min_confidence)(photo)
    assert (result.image_action != UNKNOWN) is named
    assert all((person.action != UNKNOWN) is named for person in result.people)
    assert result.image_actions[0].label == "diving"  # the ranking stays


@pytest.mark.parametrize("top_k", [1, 2, 9])
def test_top_k(photo: NDArray[np.uint8], top_k: int) -> None:
    result = recognizer(top_k=top_k)(photo)
    assert len(result.image_actions) == min(top_k, len(LABELS))
    assert {len(person.actions) for person in result.people} == {min(top_k, len(LABELS))}


def test_max_people_keeps_the_best_boxes(photo: NDArray[np.uint8]) -> None:
    people = recognizer(max_people=2)(photo).people
    assert sorted(person.box for person in people) == [tuple(box) for box in BOXES[:2].tolist()]


@pytest.mark.parametrize(
    ("detector", "options", "people"),
    [
        ("fake-detector", {}, 50),
        ("fake-detector", {"max_people": 55}, 55),
        ("boxes", {}, 60),
        ("precomputed", {}, 60),
        ("precomputed", {"max_people": 55}, 55),
    ],
)
def test_given_people_are_not_capped_unless_it_is_asked_for(
    photo: NDArray[np.uint8], detector: str, options: dict[str, int], people: int
) -> None:
    corners = np.array([(x, y) for x in range(0, 200, 20) for y in range(0, 120, 20)], np.float32)
    finds = Detector(np.concatenate([corners, corners + 18], 1))
    finds.name = detector
    assert len(recognizer(detector=finds, **options)(photo).people) == people


def test_tracks_that_a_pose_backend_knows_are_kept_in_photos(photo: NDArray[np.uint8]) -> None:
    class Tracked(Pose):
        def people(
            self,
            image: NDArray[np.uint8],
            boxes: NDArray[np.float32],
            box_scores: NDArray[np.float32],
        ) -> GivenPeople:
            kept = np.arange(len(boxes))
            return GivenPeople(self(image, boxes), kept, np.array([3.0, 2, 1]), [4, None, 2])

    known = recognizer(pose=Tracked())
    tracks = {person.box: person.track_id for person in known(photo).people}
    assert tracks == dict(zip(map(tuple, BOXES.tolist()), (4, None, 2), strict=True))
    assert [person.score for person in known(photo).people] == [3, 2, 1]
    # Who is who in a video is the tracker's to say.
    assert {person.track_id for person in known(photo, timestamp=0.0).people} == {None}


def test_one_person_found_twice_is_given_once(photo: NDArray[np.uint8]) -> None:
    twice = np.stack([BOXES[0], BOXES[0] + np.float32(0.5)])
    people = recognizer(detector=Detector(twice))(photo).people
    assert len(people) == 1
    assert people[0].box_score == pytest.approx(0.9, abs=1e-3)


def test_other_layouts_reach_the_action_model_as_coco17(photo: NDArray[np.uint8]) -> None:
    model = Model()
    result = recognizer(model=model, pose=Pose("halpe26"))(photo)
    assert {person.layout for person in result.people} == {"halpe26"}
    assert {person.keypoints.shape for person in result.people} == {(26, 3)}
    assert model.keypoints[0].shape == (3, 17, 3)
    nose = result.people[0].keypoints[get_layout("halpe26").index("nose")]
    assert any(np.allclose(points[0], nose, atol=0.01) for points in model.keypoints[0])


@pytest.mark.parametrize("form", ["path", "str", "bytes", "bgr", "rgb", "pil"])
def test_every_form_of_a_photo_gives_the_same_pixels(
    photo: NDArray[np.uint8], tmp_path: Path, form: str
) -> None:
    picture = Image.fromarray(photo[..., ::-1])
    path = tmp_path / "photo.png"
    picture.save(path)
    detector = Detector()
    channels = "rgb" if form == "rgb" else "bgr"
    given = {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "bgr": photo,
        "rgb": np.ascontiguousarray(photo[..., ::-1]),
        "pil": picture,
    }[form]
    recognizer(detector=detector)(given, channels=channels)
    np.testing.assert_array_equal(detector.seen[0], photo)


def test_a_whole_box_detector_by_name(photo: NDArray[np.uint8]) -> None:
    result = recognizer(detector="whole-image")(photo)
    assert [person.box for person in result.people] == [(0, 0, 200, 120)]
    assert not result.image_only


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"max_people": 0},
        {"top_k": 0},
        {"min_confidence": -0.1},
        {"min_confidence": 1.1},
        {"min_confidence": float("nan")},
    ],
)
def test_options_out_of_range_are_refused_at_once(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        recognizer(**options)


@pytest.mark.parametrize("part", ["model", "pose", "detector"])
def test_nothing_is_loaded_before_it_is_needed(part: str) -> None:
    lazy = recognizer(**{part: "no-such-name"})
    with pytest.raises(UnknownNameError, match="no-such-name"):
        lazy.warm_up()


def broken_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    return buffer.getvalue()[:60]


def test_many_keeps_the_order(tmp_path: Path) -> None:
    paths = []
    for i in range(12):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (100 + i, 50)).save(paths[-1])
    results = list(recognizer().recognize_many(paths))
    assert [result.source for result in results] == [str(path) for path in paths]
    assert [result.width for result in results] == [100 + i for i in range(12)]
    assert {result.index for result in results} == {0}


def test_many_numbers_what_has_no_path(photo: NDArray[np.uint8]) -> None:
    results = recognizer().recognize_many([photo, photo, Frame(photo, "clip", 7, 1.5)])
    assert [(r.index, r.timestamp) for r in results] == [(0, None), (1, None), (7, 1.5)]


def test_many_equals_one_by_one(photo: NDArray[np.uint8]) -> None:
    photos = [photo, photo[:50], photo[:, :90]]
    together = list(recognizer().recognize_many(photos))
    for i, (one, result) in enumerate(zip(photos, together, strict=True)):
        alone = recognizer()(one, index=i)
        assert result.model_copy(update={"timings_ms": {}}) == alone.model_copy(
            update={"timings_ms": {}}
        )


def test_many_decodes_while_it_recognises(photo: NDArray[np.uint8]) -> None:
    asked_for_second = threading.Event()

    class Waiting(Model):
        def __call__(self, *args: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
            assert asked_for_second.wait(5), "the second photo was not decoded meanwhile"
            return super().__call__(*args)  # type: ignore[arg-type]

    def photos() -> Iterator[NDArray[np.uint8]]:
        yield photo
        asked_for_second.set()
        yield photo

    assert len(list(recognizer(model=Waiting()).recognize_many(photos()))) == 2


def test_many_raises_a_bad_photo_in_its_place(photo: NDArray[np.uint8]) -> None:
    results = recognizer().recognize_many([photo, broken_png(), photo])
    assert next(results).index == 0
    with pytest.raises(InputError):
        next(results)


def test_many_skips_a_bad_photo(photo: NDArray[np.uint8]) -> None:
    results = recognizer().recognize_many([photo, broken_png(), photo], on_error="skip")
    assert [result.index for result in results] == [0, 2]


def test_many_reports_a_bad_photo(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"
    told: list[tuple[str, InputError]] = []
    results = recognizer().recognize_many(
        [missing, photo], on_error=lambda source, error: told.append((source, error))
    )
    assert len(list(results)) == 1
    ((source, error),) = told
    assert source == str(missing)
    assert str(missing) in str(error)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_errors_of_the_iterable_are_never_skipped(photo: NDArray[np.uint8], on_error: str) -> None:
    def photos() -> Iterator[NDArray[np.uint8]]:
        yield photo
        raise InputError("clip.mp4: damaged")

    results = recognizer().recognize_many(photos(), on_error=on_error)  # type: ignore[arg-type]
    next(results)
    with pytest.raises(InputError, match="damaged"):
        next(results)


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        ("photo.jpg", {}, TypeError, "give \\[photo\\]"),
        (np.zeros((4, 4, 3), np.uint8), {}, TypeError, "give \\[photo\\]"),
        ([], {"on_error": "ignore"}, ValueError, "on_error is 'raise', 'skip' or a function"),
        (["a.jpg"], {"channels": "xyz"}, ValueError, "channels is 'bgr' or 'rgb'"),
    ],
)
def test_wrong_calls_of_many_say_so(images, options, error, message) -> None:
    with pytest.raises(error, match=message):
        list(recognizer().recognize_many(images, **options))


@pytest.mark.parametrize("place", [{"index": -1}, {"timestamp": float("nan")}])
def test_a_place_that_cannot_be_is_refused_first(
    photo: NDArray[np.uint8], place: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        recognizer()(photo, **place)


def test_frames_come_with_their_pixels(photo: NDArray[np.uint8]) -> None:
    ((pixels, result),) = recognizer().recognize_frames([photo])
    np.testing.assert_array_equal(pixels, photo)
    assert result.width == photo.shape[1]


def test_one_recognizer_serves_several_threads(photo: NDArray[np.uint8]) -> None:
    shared = recognizer()
    expected = shared(photo).people
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(shared(photo).people)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_the_package_offers_it() -> None:
    assert keyact.Recognizer is Recognizer
