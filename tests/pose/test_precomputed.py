"""The precomputed backend and detector keep to the contracts of networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keyact import Recognizer, detect, pose
from keyact.detect.base import Detector
from keyact.errors import InputError
from keyact.formats.cache import model_name, pixel_hash
from keyact.pose.base import PoseEstimator
from keyact.pose.precomputed import MIN_IOU
from keyact.results import FrameResult, Person

PHOTO = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
BOXES = [(10.0, 10.0, 60.0, 90.0), (100.0, 20.0, 160.0, 95.0)]
SCORES = [0.5, 0.75]


def make_cache(path: Path, layout: str, joints: int) -> str:
    people = []
    for number, box in enumerate(BOXES):
        points = np.column_stack(
            [np.linspace(box[0], box[2], joints), np.linspace(box[1], box[3], joints),
             np.full(joints, 0.25 * (number + 1))]
        )  # fmt: skip
        people.append(
            Person(box=box, box_score=SCORES[number], score=1, layout=layout, keypoints=points)
        )
    result = FrameResult(
        source="photo.jpg", width=200, height=100, image_only=False, people=tuple(people),
        timings_ms={}, model=model_name("alphapose", pixel_hash(PHOTO)),
    )  # fmt: skip
    path.write_text(result.to_json() + "\n", "utf-8")
    return f"precomputed:{path}"


@pytest.fixture(scope="module", params=[("coco17", 17), ("halpe26", 26), ("openpose18", 18)])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, int]:
    layout, joints = request.param
    return make_cache(tmp_path_factory.mktemp("c") / "c.jsonl", layout, joints), layout, joints


def test_pose_contract(case: tuple[str, str, int]) -> None:
    source, layout, joints = case
    backend = pose.load(source, threads=1, flip_test=True)
    assert isinstance(backend, PoseEstimator)
    assert (backend.name, backend.layout) == ("precomputed", layout)
    asked = np.array(
        [
            BOXES[1],
            BOXES[0],
            [-500, -500, -400, -300],
            [230, 90, 900, 900],
            [100, 50, 100.5, 50.2],
            [10, 10, 10, 10],
            [60, 90, 10, 10],  # the wrong way round
            [0, 0, 200, 100],
        ]
    )
    before = asked.copy()
    found = backend(PHOTO, asked)
    assert found.shape == (len(asked), joints, 3) and found.dtype == np.float32
    assert found[:, 0, 2].tolist() == [0.5, 0.25, 0, 0, 0, 0, 0, 0]
    assert found[0, 0].tolist() == [100, 20, 0.5]
    assert not found[2:].any()
    np.testing.assert_array_equal(asked, before)
    np.testing.assert_array_equal(np.concatenate([backend(PHOTO, [box]) for box in asked]), found)
    for none in (np.zeros((0, 4), np.float32), []):
        assert backend(PHOTO, none).shape == (0, joints, 3)


def shifted(by: float) -> list[float]:
    x1, y1, x2, y2 = BOXES[0]
    return [x1 + by, y1, x2 + by, y2]


@pytest.mark.parametrize(
    ("shift", "taken"), [(0.0, True), (50 / 3 - 0.01, True), (50 / 3 + 0.01, False)]
)
def test_boxes_are_matched_from_half_overlap_on(
    case: tuple[str, str, int], shift: float, taken: bool
) -> None:
    # Boxes of width 50 moved by 50 / 3 share a third of 100 / 3 * 2: an overlap of one half.
    assert MIN_IOU == 0.5
    assert bool(pose.load(case[0])(PHOTO, [shifted(shift)]).any()) is taken


def cache_of(people: list[Person], folder: Path) -> str:
    """A backend that knows these people of `PHOTO`."""
    result = FrameResult(
        source="photo.jpg", width=200, height=100, image_only=False, people=tuple(people),
        timings_ms={}, model=model_name("alphapose", pixel_hash(PHOTO)),
    )  # fmt: skip
    path = folder / "c.jsonl"
    path.write_text(result.to_json() + "\n", "utf-8")
    return f"precomputed:{path}"


def test_people_in_one_box_stay_who_they_are(tmp_path: Path) -> None:
    """Also where they stand so close that keyact's own pose NMS would make them one."""
    box = (10.0, 10.0, 60.0, 90.0)
    people = [
        Person(
            box=box, box_score=0.5, score=1, layout="coco17",
            keypoints=np.column_stack([np.linspace(x, 50, 17), np.full(17, 40.0), np.ones(17)]),
        )
        for x in (10, 11, 12)
    ]  # fmt: skip
    source = cache_of(people, tmp_path)
    found = Recognizer(Counts(), source, source)(PHOTO).people
    assert sorted(float(person.keypoints[0, 0]) for person in found) == [10, 11, 12]
    # A detector's second box of somebody is not a second person, and nobody's box stays empty.
    backend = pose.load(source)
    boxes = np.array([box, [11, 10, 60, 90], [12, 10, 60, 90], [90, 0, 99, 9], [91, 0, 99, 9]])
    merged, kept = backend.suppress(backend(PHOTO, boxes), np.full(5, 0.5), boxes)  # type: ignore[attr-defined]
    assert sorted(kept.tolist()) == [0, 3, 4]
    assert sorted(merged[:, 0, 0].tolist()) == [0, 0, 10]
    known = backend.people(PHOTO, boxes, np.full(5, 0.5))  # type: ignore[attr-defined]
    assert known.kept.tolist() == [0, 3, 4] and known.scores.tolist() == [1, 0.5, 0.5]
    assert known.keypoints[:, 0, 0].tolist() == [10, 0, 0]


def test_people_keep_the_score_and_number_they_came_with(tmp_path: Path) -> None:
    """And twins, equal but for these, are two: also for callers who ask for key points alone."""
    points = np.column_stack([np.linspace(10, 50, 17), np.full(17, 40.0), np.ones(17)])
    people = [
        Person(
            box=(10, 10, 60, 90), box_score=0.5, score=score, layout="coco17", keypoints=points,
            track_id=track,
        )
        for score, track in ((0.8, 1), (9.5, 1), (0.8001, 2), (0.8, 1))
    ]  # fmt: skip
    source = cache_of(people, tmp_path)
    recognizer = Recognizer(Counts(), source, source)
    found = [(person.score, person.track_id) for person in recognizer(PHOTO).people]
    assert found == [(9.5, 1), (0.8001, 2), (0.8, 1)]
    found = [(p.score, p.track_id) for p in recognizer(PHOTO, timestamp=0.0).people]
    assert found == [(9.5, None), (0.8001, None), (0.8, None)]  # in videos the tracker numbers
    boxes, scores = detect.load(source)(PHOTO)
    backend = pose.load(source)
    merged = backend.suppress(backend(PHOTO, boxes), scores, boxes)  # type: ignore[attr-defined]
    assert len(merged.kept) == 3


def test_detector_contract(case: tuple[str, str, int]) -> None:
    detector = detect.load(case[0], threads=1)
    assert isinstance(detector, Detector) and detector.name == "precomputed"
    boxes, scores = detector(PHOTO)
    assert boxes.dtype == scores.dtype == np.float32
    assert boxes.tolist() == [list(BOXES[1]), list(BOXES[0])]
    assert scores.tolist() == [0.75, 0.5]
    assert detect.load(case[0], score_threshold=0.6)(PHOTO)[1].tolist() == [0.75]


@pytest.mark.parametrize("load", [pose.load, detect.load], ids=["pose", "detector"])
def test_what_is_missing_is_said(
    case: tuple[str, str, int], load: Callable[..., Callable[..., object]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="type precomputed:"):
        load("precomputed")
    with pytest.raises(InputError, match="no such file; keyact import"):
        load(f"precomputed:{tmp_path / 'none.jsonl'}")
    with pytest.raises(InputError, match="keyact import FORMAT FILE --images DIR"):
        load(case[0])(*(PHOTO[:50], []) if load is pose.load else (PHOTO[:50],))


class Counts:
    """An action model that only counts the joints it is given."""

    name = "counts"
    labels = ("none", "some")
    unknown_threshold = 0.0

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        some = (keypoints[..., 2] > 0).any(1).astype(np.float32)
        return np.column_stack([1 - some, some]), np.array([0.5, 0.5], np.float32)


def test_the_recognizer_runs_on_a_cache(case: tuple[str, str, int]) -> None:
    result = Recognizer(Counts(), case[0], case[0], threads=1)(PHOTO)
    assert {person.box for person in result.people} == set(BOXES)
    assert {person.layout for person in result.people} == {case[1]}
    assert {person.action for person in result.people} == {"some"}
