"""What is particular to a format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyact.errors import InputError
from keyact.formats import Options, PhotoPeople, read
from keyact.formats.base import MAX_PEOPLE


def listed(name: str, path: Path, **options: Any) -> tuple[list[PhotoPeople], list[str]]:
    problems: list[str] = []
    return list(read(name, path, Options(report=problems.append, **options))), problems


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


POINTS = [float(value) for i in range(17) for value in (10 + i, 20 + i, 1)]


def annotation(image: int, v: tuple[int, ...] = (2,) * 17, **fields: object) -> dict[str, object]:
    points = np.reshape(POINTS, (-1, 3))
    points[:, 2] = v
    return {
        "image_id": image,
        "category_id": 1,
        "keypoints": points.ravel().tolist(),
        "bbox": [0, 0, 9, 9],
        **fields,
    }


IMAGES = [
    {"id": 1, "file_name": "one.jpg", "width": 64, "height": 48},
    {"id": 2, "file_name": "two.jpg", "width": 48, "height": 64},
]


@pytest.mark.parametrize("first", ["images", "annotations"])
def test_coco_annotations_name_photos_wherever_they_stand(tmp_path: Path, first: str) -> None:
    parts = {"images": IMAGES, "annotations": [annotation(1), annotation(2), annotation(1)]}
    content = {first: parts[first], **parts}
    photos, problems = listed("coco-annotations", save(tmp_path / "a.json", content))
    assert not problems
    # People of a photo who stand apart in the file come apart.
    assert [(photo.image, photo.width, photo.height) for photo in photos] == [
        ("one.jpg", 64, 48), ("two.jpg", 48, 64), ("one.jpg", 64, 48),
    ]  # fmt: skip


def test_coco_visibility_becomes_a_score(tmp_path: Path) -> None:
    v = (0, 1, 2) + (2,) * 14
    crowd = annotation(1, iscrowd=1, keypoints="none")
    path = save(tmp_path / "a.json", {"images": IMAGES, "annotations": [crowd, annotation(1, v)]})
    (photo,), problems = listed("coco-annotations", path)
    assert not problems
    assert photo.people[0].keypoints[:4, 2].tolist() == [0, 0.5, 1, 1]
    assert photo.people[0].box_score == 1


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (annotation(1, (3,) * 17), "0, 1 or 2"),
        (annotation(1, category_id=2), "category_id"),
        (annotation(3), "no such photo"),
        (annotation(1, bbox=[0, 0, -1, 5]), "negative"),
        (annotation(1, bbox=[0, 0, 5]), "bbox has 3 numbers"),
        (annotation(1, (0,) * 17, bbox=None), "neither a box nor a joint"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_coco_annotations(tmp_path: Path, entry: dict[str, object], reason: str) -> None:
    path = save(tmp_path / "a.json", {"images": IMAGES, "annotations": [entry, annotation(2)]})
    photos, problems = listed("coco-annotations", path)
    assert [photo.image for photo in photos] == ["two.jpg"]
    assert len(problems) == 1 and reason in problems[0]


def test_coco_results_take_names_and_sizes_from_annotations(tmp_path: Path) -> None:
    names = save(tmp_path / "names.json", {"images": IMAGES})
    results = [{"image_id": 2, "category_id": 1, "keypoints": POINTS, "score": 7.5}]
    path = save(tmp_path / "results.json", results)
    (photo,), _ = listed("coco", path, annotations=names)
    assert (photo.image, photo.width, photo.height) == ("two.jpg", 48, 64)
    assert (photo.people[0].score, photo.people[0].box_score) == (7.5, 1)
    assert photo.people[0].box == (10, 20, 26, 36)
    with pytest.raises(InputError, match="type coco-annotations"):
        list(read("coco", names))
    with pytest.raises(InputError, match="no images list"):
        list(read("coco-annotations", save(tmp_path / "x.json", {"a": 1})))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"file_name": "x"}, "id is missing"),
        ({"id": 1}, "file_name is missing"),
        ({"id": 1, "file_name": 1.5}, "file_name is neither"),
        ({"id": 1, "file_name": "x", "width": -1}, "width"),
        (3, "not an object"),
    ],
    ids=str,
)
def test_bad_coco_images(tmp_path: Path, image: object, reason: str) -> None:
    path = save(tmp_path / "a.json", {"images": [image], "annotations": []})
    _, problems = listed("coco-annotations", path)
    assert len(problems) == 1 and f"image 0: {reason}" in problems[0]


def test_openpose_without_people_tracks_or_new_keys(tmp_path: Path) -> None:
    body = [1.0, 2.0, 0.5] * 25
    save(tmp_path / "0_keypoints.json", {"version": 1.3, "people": []})
    save(tmp_path / "1_keypoints.json", {"people": [{"pose_keypoints": body, "person_id": [-1]}]})
    photos, problems = listed("openpose", tmp_path)
    assert not problems
    assert [(photo.image, len(photo.people)) for photo in photos] == [("0", 0), ("1", 1)]
    assert photos[1].people[0].track_id is None and photos[1].people[0].layout == "openpose25"


LANDMARKS = [{"x": 0.5, "y": 0.25, "z": 0, "visibility": 0.9}] * 33


@pytest.mark.parametrize(
    ("content", "people"),
    [
        ({"landmark": LANDMARKS}, 1),
        ({"landmarks": [LANDMARKS, LANDMARKS], "worldLandmarks": [[]]}, 2),
        ({"pose_landmarks": [LANDMARKS]}, 1),
        ({"poseLandmarks": LANDMARKS}, 1),
        ({"pose_landmarks": {"landmark": LANDMARKS}}, 1),
        ({"pose_landmarks": None}, 0),
        ({"landmarks": []}, 0),
    ],
    ids=lambda value: str(value)[:24],
)
def test_mediapipe_results_as_json(tmp_path: Path, content: dict[str, Any], people: int) -> None:
    path = save(tmp_path / "a.json", {**content, "width": 200, "height": 100})
    (photo,), problems = listed("mediapipe", path)
    assert not problems and len(photo.people) == people
    for person in photo.people:
        assert person.keypoints[0].tolist() == [100, 25, np.float32(0.9)]


ROWS = [[0.5, 0.25, 0, 0.9]] * 33


@pytest.mark.parametrize(
    ("content", "people", "score"),
    [
        (LANDMARKS, 1, 0.9),
        ([LANDMARKS, LANDMARKS], 2, 0.9),
        ([{"landmark": LANDMARKS}], 1, 0.9),
        (ROWS, 1, 0.9),
        ([ROWS, ROWS], 2, 0.9),
        ({"landmarks": ROWS}, 1, 0.9),
        ([[0.5, 0.25, 0]] * 33, 1, 1),
        ([[0.5, 0.25, 0, 0.9, 0.2]] * 33, 1, 0.9),
        ([{"x": 0.5, "y": 0.25, "presence": 0.3}] * 33, 1, 0.3),
        ([{"x": 0.5, "y": 0.25, "visibility": None, "presence": None}] * 33, 1, 1),
        ([], 0, 1),
    ],
    ids=lambda value: str(value)[:24],
)
def test_mediapipe_lists_and_landmarks_as_people_write_them(
    tmp_path: Path, content: Any, people: int, score: float
) -> None:
    path = save(tmp_path / "a.json", content)
    (photo,), problems = listed("mediapipe", path, size_of=lambda image: (200, 100))
    assert not problems and len(photo.people) == people
    for person in photo.people:
        np.testing.assert_allclose(person.keypoints, [[100, 25, score]] * 33, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{**LANDMARKS[0], "x": 120.5}] * 33, "coordinates up to 120.5, but x and y are fractions"),
        ([{"pose_landmarks": [LANDMARKS]}] * 2, "a list of results, but a file is of one photo"),
        ([[0.5, 0.25]] * 33, "landmark 0 is neither an object"),
        ([[0.5, 0.25, "x", 1]] * 32 + [[0.5, "y", 0, 1]], "landmark 32 is not a list of numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mediapipe_files_of_something_else(tmp_path: Path, content: Any, reason: str) -> None:
    path = save(tmp_path / "a.json", content)
    _, problems = listed("mediapipe", path, size_of=lambda image: (200, 100))
    assert len(problems) == 1 and reason in problems[0]


@pytest.mark.parametrize("missing", ["x", "y"])
def test_mediapipe_landmarks_are_whole(tmp_path: Path, missing: str) -> None:
    landmark = {key: value for key, value in LANDMARKS[0].items() if key != missing}
    content = {"landmark": [*LANDMARKS[1:], landmark], "width": 5, "height": 5}
    _, problems = listed("mediapipe", save(tmp_path / "a.json", content))
    assert len(problems) == 1 and "of landmark 32 is not" in problems[0]


INSTANCE = {
    "keypoints": [[1.0, 2.0]] * 17,
    "keypoint_scores": [1.25] * 17,  # SimCC's scores can exceed 1
    "bbox": [[0.0, 0.0, 9.0, 9.0]],
    "bbox_score": 0.5,
}


def test_mmpose_inferencer_file(tmp_path: Path) -> None:
    (photo,), problems = listed("mmpose", save(tmp_path / "a.json", [INSTANCE]))
    assert not problems and photo.image == "a"
    assert photo.people[0].box == (0, 0, 9, 9) and photo.people[0].box_score == 0.5
    assert photo.people[0].keypoints[0].tolist() == [1, 2, 1]


def test_mmpose_video_file(tmp_path: Path) -> None:
    frames = [{"frame_id": 0, "instances": [INSTANCE, {}]}, {"frame_id": -1, "instances": []}]
    photos, problems = listed(
        "mmpose", save(tmp_path / "results_v.json", {"instance_info": frames})
    )
    assert [(photo.image, photo.frame, len(photo.people)) for photo in photos] == [("v", 0, 1)]
    assert "frame 0, instance 1: " in problems[0] and "instance 1: frame_id" in problems[1]


@pytest.mark.parametrize("name", ["openpose", "mmpose", "coco", "alphapose"])
def test_crowds_come_in_parts(tmp_path: Path, name: str) -> None:
    entry = {"image_id": "a", "keypoints": POINTS}
    content: dict[str, object] = {
        "openpose": {"people": [{"pose_keypoints_2d": [1, 2, 1] * 18}] * (MAX_PEOPLE + 1)},
        "mmpose": [INSTANCE] * (MAX_PEOPLE + 1),
    }  # type: ignore[assignment]
    path = save(tmp_path / "a.json", content.get(name, [entry] * (MAX_PEOPLE + 1)))
    photos, problems = listed(name, path)
    assert not problems
    assert [len(photo.people) for photo in photos] == [MAX_PEOPLE, 1]
