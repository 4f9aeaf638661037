"""What every key point format must keep to. A new format needs an `Example` here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyact.errors import InputError, UnknownNameError
from keyact.formats import FORMATS, Options, PhotoPeople, get_format, read
from keyact.layouts import get_layout

WIDTH, HEIGHT = 200, 100
Body = dict[str, Any]


def joints(count: int, shift: float = 0.0) -> np.ndarray:
    """(K, 3) inside the photo, with scores that every format can carry."""
    order = np.arange(count)
    scores = np.where(order % 3 == 0, 1.0, 0.5)
    return np.column_stack([10.5 + order % 20 + shift, 20.25 + order % 7, scores])


def flat(points: np.ndarray) -> list[float]:
    return [float(value) for value in points.ravel()]


@dataclass(frozen=True)
class Example:
    """How to make a file of one photo, ``a.jpg`` or its stem, from people.

    Attributes
    ----------
    person : key points and track -> an entry; its box is x 5 to 45, y 10 to 40.
    file : entries -> the text's content.
    name : of the file.
    image : the photo's name after reading.
    keys : the entry's fields that hold key points; the first is spoilt by the tests.
    """

    person: Callable[[np.ndarray, int], Body]
    file: Callable[[list[Any]], object]
    keys: tuple[str, ...]
    name: str = "alphapose-results.json"
    image: str = "a.jpg"


BOX = (5.0, 10.0, 45.0, 40.0)

EXAMPLES: dict[str, Example] = {
    "alphapose": Example(
        lambda points, track: {
            "image_id": "a.jpg",
            "category_id": 1,
            "keypoints": flat(points),
            "score": 2.5,
            "box": [5, 10, 40, 30],
            "idx": [[float(track)]],
        },
        lambda entries: entries,
        ("keypoints",),
    ),
    "openpose": Example(
        lambda points, track: {
            "person_id": [track],
            "pose_keypoints_2d": flat(points),
            "face_keypoints_2d": [],
        },
        lambda entries: {"version": 1.3, "people": entries},
        ("pose_keypoints_2d",),
        name="a_keypoints.json",
        image="a",
    ),
    "coco": Example(
        lambda points, track: {
            "image_id": 42,
            "category_id": 1,
            "keypoints": flat(points),
            "score": 0.75,
            "bbox": [5, 10, 40, 30],
        },
        lambda entries: entries,
        ("keypoints",),
        image="42",
    ),
    "coco-annotations": Example(
        lambda points, track: {
            "id": 7,
            "image_id": 42,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": flat(points * [1, 1, 2]),
            "num_keypoints": len(points),
            "bbox": [5, 10, 40, 30],
        },
        lambda entries: {
            "info": {"year": 2017},
            "annotations": entries,
            "images": [{"id": 42, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        },
        ("keypoints",),
    ),
    "mediapipe": Example(
        lambda points, track: {
            "landmark": [
                {"x": x / WIDTH, "y": y / HEIGHT, "z": 0.1, "visibility": score}
                for x, y, score in points.tolist()
            ]
        },
        lambda entries: {"poseLandmarks": entries, "width": WIDTH, "height": HEIGHT},
        ("landmark",),
        name="a.json",
        image="a",
    ),
    "mmpose": Example(
        lambda points, track: {
            "keypoints": points[:, :2].tolist(),
            "keypoint_scores": points[:, 2].tolist(),
            "bbox": [[5, 10, 45, 40]],
            "bbox_score": 0.9,
        },
        lambda entries: {"meta_info": {"dataset_name": "coco"}, "instance_info": entries},
        ("keypoints", "keypoint_scores"),
        name="results_a.json",
        image="a",
    ),
}

NAMES = sorted(FORMATS)


def body(name: str, shift: float = 0.0, track: int = 3) -> Body:
    count = next(iter(FORMATS[name].layouts))
    return EXAMPLES[name].person(joints(count, shift), track)


def save(folder: Path, name: str, entries: list[Any]) -> Path:
    path = folder / EXAMPLES[name].name
    path.write_text(json.dumps(EXAMPLES[name].file(entries)), "utf-8")
    return path


def listed(name: str, path: Path, **options: Any) -> tuple[list[PhotoPeople], list[str]]:
    problems: list[str] = []
    return list(read(name, path, Options(report=problems.append, **options))), problems


def people(photos: list[PhotoPeople]) -> list[Any]:
    return [person for photo in photos for person in photo.people]


def test_every_format_has_an_example() -> None:
    assert set(EXAMPLES) == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "count"), [(name, count) for name in NAMES for count in FORMATS[name].layouts]
)
def test_every_layout_is_told_by_its_number_of_joints(
    tmp_path: Path, name: str, count: int
) -> None:
    points = joints(count)
    path = save(tmp_path, name, [EXAMPLES[name].person(points, 3)])
    (photo,), problems = listed(name, path)
    (person,) = photo.people
    assert not problems
    assert photo.image == EXAMPLES[name].image
    assert person.layout == FORMATS[name].layouts[count]
    assert len(get_layout(person.layout)) == count
    np.testing.assert_allclose(person.keypoints, points, atol=0.006)
    # A format with boxes gives its own; otherwise the box is round the joints.
    around = (*points[:, :2].min(0), *points[:, :2].max(0))
    assert person.box == pytest.approx(BOX if FORMATS[name].boxes else around, abs=0.006)
    assert person.track_id == (3 if FORMATS[name].tracks else None)
    assert 0 <= person.box_score <= 1


@pytest.mark.parametrize("name", NAMES)
def test_people_of_a_photo_come_together_in_their_order(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, name, [body(name, shift) for shift in (0, 5, 10)])
    (photo,), problems = listed(name, path)
    assert [person.keypoints[0, 0] for person in photo.people] == [10.5, 15.5, 20.5]
    assert not problems
    assert [place.startswith(f"{path}: ") for place in photo.places] == [True] * 3
    assert [place[-1] for place in photo.places] == ["0", "1", "2"]
    assert photo.numbered is photo.image.isdecimal()
    assert listed(name, path) == ([photo], [])  # and again


SPOILT: dict[str, Callable[[Any], Any]] = {
    "a joint short": lambda value: value[:-3],
    "empty": lambda value: [],
    "missing": lambda value: None,
    "text": lambda value: "keypoints",
    "object": lambda value: {"0": 1},
    "true": lambda value: [True] * len(value),
    "texts": lambda value: ["1"] * len(value),
    "too many": lambda value: value * 1000,
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_entry_is_reported_by_index_and_the_rest_kept(
    tmp_path: Path, name: str, how: str
) -> None:
    bad = body(name)
    for key in EXAMPLES[name].keys:
        bad[key] = SPOILT[how](bad[key])
    path = save(tmp_path, name, [body(name), bad, body(name, 5)])
    photos, problems = listed(name, path)
    assert [person.keypoints[0, 0] for person in people(photos)] == [10.5, 15.5]
    (problem,) = problems
    assert problem.startswith(f"{path}: ") and " 1: " in problem and "\n" not in problem
    with pytest.raises(InputError, match=" 1: "):  # strict without a report
        list(read(name, path))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e300", "9" * 400])
@pytest.mark.parametrize("name", NAMES)
def test_a_joint_that_is_no_place_was_not_seen(tmp_path: Path, name: str, number: str) -> None:
    x = "0.0525" if FORMATS[name].needs_size else "10.5"
    bad = json.loads(json.dumps(body(name)).replace(x, '"@"', 1))
    path = save(tmp_path, name, [body(name), bad, body(name, 5)])
    path.write_text(path.read_text().replace('"@"', number))
    photos, problems = listed(name, path)
    assert len(problems) == 1 and " 1: " in problems[0]
    first, *spoilt, last = people(photos)
    assert (first.keypoints[0, 0], last.keypoints[0, 0]) == (10.5, 15.5)
    assert bool(spoilt) is not number.startswith("9")  # that is no float at all
    for person in spoilt:
        assert (
            f"not seen, their numbers are not finite: 0 ({get_layout(person.layout).joints[0]})"
            in problems[0]
        )
        assert person.keypoints[0].tolist() == [0, 0, 0]
        np.testing.assert_array_equal(person.keypoints[1:], first.keypoints[1:])
    with pytest.raises(InputError, match=" 1: "):  # strict without a report
        list(read(name, path))


@pytest.mark.parametrize("entry", [None, 5, "x", [], {}, [[]], {"people": 1}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_entries_that_are_something_else(tmp_path: Path, name: str, entry: object) -> None:
    photos, problems = listed(name, save(tmp_path, name, [body(name), entry]))
    assert len(people(photos)) == 1 and len(problems) == 1


@pytest.mark.parametrize("name", NAMES)
def test_places_outside_the_photo_are_kept(tmp_path: Path, name: str) -> None:
    count = next(iter(FORMATS[name].layouts))
    points = joints(count) - [500, 500, 0]
    photos, problems = listed(name, save(tmp_path, name, [EXAMPLES[name].person(points, 0)]))
    assert not problems
    np.testing.assert_allclose(people(photos)[0].keypoints, points, atol=0.006)


@pytest.mark.parametrize("text", ["", "{", "[", "5", '"people"', "\x00", "%PDF-1.4", "[1] 2"])
@pytest.mark.parametrize("name", NAMES)
def test_other_files_are_refused_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"other\.json") as caught:
        list(read(name, path))
    assert "\n" not in str(caught.value)
    valid = text in ("5", '"people"')  # another thing, but JSON
    assert ("not JSON" in str(caught.value)) <= (not valid)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_ends_early(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, name, [body(name), body(name, 5)])
    path.write_text(path.read_text()[:-4])
    with pytest.raises(InputError, match=path.name):
        list(read(name, path))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_read_by_name_and_its_bad_files_are_reported(tmp_path: Path, name: str) -> None:
    save(tmp_path, name, [body(name)])
    (tmp_path / "zz.json").write_text("broken")
    (tmp_path / ".hidden.json").write_text("broken")
    (tmp_path / "notes.txt").write_text("broken")
    photos, problems = listed(name, tmp_path)
    assert len(people(photos)) == 1
    assert len(problems) == 1 and "zz.json" in problems[0]
    with pytest.raises(InputError, match=r"zz\.json"):
        list(read(name, tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_layout_can_be_asked_for(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, name, [body(name)])
    count, layout = next(iter(FORMATS[name].layouts.items()))
    (photo,), _ = listed(name, path, layout=layout)
    assert photo.people[0].layout == layout
    _, problems = listed(name, path, layout="penn13")
    assert len(problems) == 1 and f"{count} joints, but penn13 has 13" in problems[0]
    with pytest.raises(UnknownNameError, match="did you mean 'coco17'"):
        read(name, path, Options(layout="coco-17"))


@pytest.mark.parametrize("name", NAMES)
def test_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read(name, tmp_path / "none.json"))
    with pytest.raises(InputError, match=r"no \.json file"):
        list(read(name, tmp_path))


def test_unknown_formats_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openpose'"):
        get_format("open-pose")


@pytest.mark.parametrize("name", [name for name in NAMES if FORMATS[name].needs_size])
def test_fractions_need_the_photo(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, name, [body(name)])
    content = json.loads(path.read_text())
    del content["width"], content["height"]
    path.write_text(json.dumps(content))
    photos, problems = listed(name, path)
    assert not photos and "size is not known" in problems[0]
    photos, problems = listed(name, path, size_of=lambda image: (WIDTH, HEIGHT))
    assert not problems and photos[0].people[0].keypoints[0, 0] == 10.5
