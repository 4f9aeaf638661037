"""COCO annotations as they come from other programs: what is taken, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyact.errors import InputError
from keyact.pose.annotations import AREA_OF_BOX, read_photos

POINTS = np.column_stack([np.linspace(20, 80, 17), np.linspace(15, 105, 17), np.full(17, 2.0)])


def person(image: object = 1, **changes: Any) -> dict[str, Any]:
    return {
        "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 80, 100],
        "area": 4000, "keypoints": POINTS.reshape(-1).tolist(), **changes,
    }  # fmt: skip


def write(folder: Path, people: list[dict[str, Any]], **table: Any) -> Path:
    """coco.json beside the folder ``photos``, whose files are made by `photo`."""
    table = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": people, **table}
    (folder / "coco.json").write_text(json.dumps(table), "utf-8")
    return folder / "coco.json"


def photo(folder: Path, name: str) -> Path:
    path = folder / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (120, 120)).save(path)
    return path


@pytest.mark.parametrize("name", ["val2017/1.png", "/data/coco/1.png", "./1.png"])
def test_a_folder_before_the_name_may_be_another(tmp_path: Path, name: str) -> None:
    path = photo(tmp_path, "sub/1.png")
    file = write(tmp_path, [person()], images=[{"id": 1, "file_name": name}])
    (found,) = read_photos(file, tmp_path / "photos", pytest.fail)
    assert found.path == path


def test_names_that_end_alike_are_not_guessed(tmp_path: Path) -> None:
    """a/1.png is not b/1.png, although only one 1.png is there."""
    photo(tmp_path, "1.png")
    photo(tmp_path, "2.png")
    names = ["a/1.png", "b/1.png", "2.png"]
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    told: list[str] = []
    file = write(tmp_path, [person(n) for n in range(3)], images=images)
    (found,) = read_photos(file, tmp_path / "photos", told.append)
    assert found.path.name == "2.png"
    assert ["'a/1.png': no such photo" in told[0], "'b/1.png': no such" in told[1]] == [True] * 2


def test_why_no_photo_is_found_is_told(tmp_path: Path) -> None:
    photo(tmp_path, "odd.png")
    told: list[str] = []
    with pytest.raises(InputError, match=r"none of its 1 photos was found in .*photos; give the"):
        read_photos(write(tmp_path, [person()]), tmp_path / "photos", told.append)
    assert len(told) == 1 and "'1.png': no such photo" in told[0]
    photo(tmp_path, "a/1.png")
    photo(tmp_path, "b/1.png")
    for name in ("1.png", "val/1.png"):
        told.clear()
        file = write(tmp_path, [person()], images=[{"id": 1, "file_name": name}])
        with pytest.raises(InputError, match="none of its 1 photos"):
            read_photos(file, tmp_path / "photos", told.append)
        assert len(told) == 1 and "'1.png' is the name of several photos" in told[0]
        assert name in told[0]


@pytest.mark.parametrize("area", [0, -3, 0.0, None])
def test_areas_that_are_none_are_estimated_and_counted(tmp_path: Path, area: object) -> None:
    photo(tmp_path, "1.png")
    file = write(tmp_path, [person(area=area), person(), person(area=area, iscrowd=1)])
    (found,) = read_photos(file, tmp_path / "photos", pytest.fail)
    assert found.areas.tolist() == pytest.approx([AREA_OF_BOX * 80 * 100, 4000])
    assert found.estimated == 1  # crowds are not judged
    assert [entry["area"] for entry in found.entries[:2]] == found.areas.tolist()


def test_people_of_photos_that_are_not_listed_are_told(tmp_path: Path) -> None:
    photo(tmp_path, "1.png")
    told: list[str] = []
    file = write(tmp_path, [person(), person(99), person(99), person("x")])
    (found,) = read_photos(file, tmp_path / "photos", told.append)
    assert len(found.boxes) == 1
    assert [line.partition(": ")[2] for line in told] == [
        "image_id 99: no image has it; 2 annotation(s) left out",
        "image_id x: no image has it; 1 annotation(s) left out",
    ]


@pytest.mark.parametrize(
    ("categories", "people"),
    [
        ([{"id": 5, "name": "dog"}, {"id": 3, "name": "Person"}], 3),
        ([{"id": 5, "name": "dog"}, {"id": 3, "name": "swimmer", "keypoints": ["nose"]}], 3),
        ([{"id": 0, "name": "person"}], 0),
        ([{"id": 3, "name": "dog"}], 1),
        ([], 1),
        (None, 1),
        (["person", {"name": "person"}], 1),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_the_category_of_people_is_looked_up(
    tmp_path: Path, categories: object, people: int, last: bool
) -> None:
    photo(tmp_path, "1.png")
    members = {"categories": categories, "annotations": [person(category_id=people)]}
    other = {"image_id": 1, "category_id": 5, "keypoints": "none of a person's"}
    members["annotations"] += [other]  # type: ignore[operator]
    if last:
        members = dict(reversed(members.items()))
    images = [{"id": 1, "file_name": "1.png"}]
    (tmp_path / "coco.json").write_text(json.dumps({**members, "images": images}))
    (found,) = read_photos(tmp_path / "coco.json", tmp_path / "photos", pytest.fail)
    assert len(found.boxes) == 1


def test_a_file_without_people_says_what_was_looked_for(tmp_path: Path) -> None:
    photo(tmp_path, "1.png")
    named = [{"id": 3, "name": "person"}]
    file = write(tmp_path, [person()], categories=named)
    with pytest.raises(InputError, match="no annotation has category_id 3, that of people"):
        read_photos(file, tmp_path / "photos", pytest.fail)


@pytest.mark.parametrize("points", [None, []])
def test_people_without_key_points_are_ignored_as_coco_does(tmp_path: Path, points: object) -> None:
    photo(tmp_path, "1.png")
    boxed = person(keypoints=points)
    absent = person()
    del absent["keypoints"]
    file = write(tmp_path, [person(), boxed, absent])
    (found,) = read_photos(file, tmp_path / "photos", pytest.fail)
    assert len(found.boxes) == 1
    assert [entry["num_keypoints"] for entry in found.entries] == [17, 0, 0]


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ({"width": 120, "height": 80}, (120, 80)),
        ({"width": 0, "height": 0}, None),
        ({"width": None, "height": 80}, None),
        ({}, None),
    ],
)
def test_the_size_of_what_was_annotated(tmp_path: Path, sides: Any, size: object) -> None:
    photo(tmp_path, "1.png")
    file = write(tmp_path, [person()], images=[{"id": 1, "file_name": "1.png", **sides}])
    assert read_photos(file, tmp_path / "photos", pytest.fail)[0].size == size


def test_a_size_that_is_no_number_is_named(tmp_path: Path) -> None:
    photo(tmp_path, "1.png")
    images = [{"id": 1, "file_name": "1.png", "width": "wide", "height": 3}]
    with pytest.raises(InputError, match="image 0: width is not a number"):
        read_photos(write(tmp_path, [person()], images=images), tmp_path / "photos", pytest.fail)
