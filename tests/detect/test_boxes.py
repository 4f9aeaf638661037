"""Boxes that the user gives, found again by the photo's pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from keyact import Recognizer, detect
from keyact.action.nothing import NoActions
from keyact.errors import InputError


def save(path: Path, shade: int, size: tuple[int, int] = (100, 200)) -> np.ndarray:
    image = np.full((*size, 3), shade, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return image


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, np.ndarray]:
    return {
        "a.png": save(tmp_path / "a.png", 10),
        "trip/b.png": save(tmp_path / "trip" / "b.png", 20),
        "trip/000000000042.png": save(tmp_path / "trip" / "000000000042.png", 30),
        "tall.png": save(tmp_path / "tall.png", 10, (200, 100)),
        "bare.png": save(tmp_path / "bare.png", 40),
    }


def given(folder: Path, content: object) -> str:
    (folder / "people.json").write_text(json.dumps(content), "utf-8")
    return f"boxes:{folder / 'people.json'}"


def test_photos_are_known_by_their_pixels(tmp_path: Path, photos: dict[str, np.ndarray]) -> None:
    find = detect.load(
        given(
            tmp_path,
            {
                "a.png": [[10, 20, 60, 90], [5, 5, 50, 50, 0.5]],
                "b": [[1, 2, 30, 40, 0.25], [0, 0, 9, 9, 0.75]],  # best first, whatever the order
                "trip/000000000042.png": [],
                "tall.png": [[0, 0, 100, 200]],
            },
        )
    )
    boxes, scores = find(photos["a.png"])
    assert boxes.tolist() == [[10, 20, 60, 90], [5, 5, 50, 50]] and scores.tolist() == [1, 0.5]
    assert find(photos["trip/b.png"])[1].tolist() == [0.75, 0.25]
    assert find(photos["tall.png"])[0].tolist() == [[0, 0, 100, 200]]
    for empty in ("trip/000000000042.png", "bare.png"):  # listed without anyone, and not listed
        assert find(photos[empty])[0].shape == (0, 4)
    with pytest.raises(InputError, match=r"people\.json: no photo of its folder .* \(200 x 100\)"):
        find(np.full((100, 200, 3), 99, np.uint8))


def test_detection_lists(tmp_path: Path, photos: dict[str, np.ndarray]) -> None:
    rows = [
        {"image_id": 42, "category_id": 1, "bbox": [10, 20, 50, 70], "score": 0.5},
        {"image_id": 42, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.9},  # no person
        {"image_id": "a.png", "bbox": [0, 0, 9, 9]},
        {"image_id": "elsewhere.png", "bbox": [0, 0, 9, 9]},
    ]
    find = detect.load(given(tmp_path, rows), score_threshold=0.4)
    assert find(photos["trip/000000000042.png"])[0].tolist() == [[10, 20, 60, 90]]
    assert find(photos["a.png"])[1].tolist() == [1]
    strict = detect.load(given(tmp_path, rows), score_threshold=0.6)
    assert len(strict(photos["trip/000000000042.png"])[0]) == 0


def test_a_crowd_that_is_given_stays_whole(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 7)
    boxes = [[x, y, x + 1.5, y + 1.5] for x in range(0, 20, 2) for y in range(0, 12, 2)]
    source = given(tmp_path, {"a.png": boxes})

    def count(**options: int) -> int:
        recognize = Recognizer(NoActions(), Middle(), source, **options)  # type: ignore[arg-type]
        return len(recognize(photo).people)

    assert (count(), count(max_people=50)) == (60, 50)


class Middle:
    """A pose backend: all joints in the middle of the box."""

    name, layout = "middle", "coco17"

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        joints = np.concatenate([middle, np.ones((len(boxes), 1, 1))], 2)
        return joints.repeat(17, 1).astype(np.float32)


def test_a_name_that_is_no_photo_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "a.png", 7)
    detect.load(given(tmp_path, {"a.png": [[0, 0, 9, 9]], "b.png": [[0, 0, 9, 9]]}))
    assert "left out 1 of its 2 photos ('b.png'" in caplog.text


def test_of_two_copies_the_one_with_boxes_counts(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 7)
    save(tmp_path / "z.png", 7)
    find = detect.load(given(tmp_path, {"z.png": [[0, 0, 9, 9]]}))
    assert len(find(photo)[0]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.png": [[1, 2, 3]]}, r"'a.png': box 0 is not \[x1, y1, x2, y2\]"),
        ({"a.png": [[0, 0, 9, 9], ["x", 0, 9, 9]]}, "'a.png': box 1 is not a list of numbers"),
        ({"a.png": [[9, 0, 1, 9]]}, "x1 < x2"),
        ({"a.png": [[0, 0, 9, 9, 7]]}, "score 7, outside 0 to 1"),
        ({"a.png": 5}, "not a list of boxes"),
        ({"nowhere.png": [[0, 0, 9, 9]]}, "none of its 1 photos lies in its folder"),
        ({"info": {}, "images": []}, "COCO annotations, .* keyact import coco-annotations"),
        ({"images": [{"id": 1}]}, "COCO annotations, .* keyact import coco-annotations"),
        ([{"image_id": "a.png", "bbox": [0, 0, 9]}], "entry 0: bbox has 3 numbers"),
        ([{"image_id": "a.png", "bbox": [0, 0, 9, -9]}], "entry 0: bbox has a negative"),
        ([{"image_id": "a.png", "keypoints": []}], "keyact import alphapose"),
        ([{"bbox": [0, 0, 9, 9]}], "entry 0: image_id"),
        (["a.png"], "entry 0: not an object"),
        (7, "expected a list, found a number"),
        ({"a.png": [[0, 0, 9, 9]] * 1001}, "more than 1000 boxes"),
    ],
    ids=str,
)
def test_wrong_entries_are_named(
    content: object, message: str, tmp_path: Path, photos: dict[str, np.ndarray]
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        detect.load(given(tmp_path, content))
    assert "people.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_damaged_neighbours_cost_nothing(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 5)
    save(tmp_path / "cut.tif", 6)
    data = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
    find = detect.load(given(tmp_path, {"a.png": [[0, 0, 9, 9]]}))
    assert len(find(photo)[0]) == 1


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    outside = save(tmp_path / "secret.png", 3)
    save(tmp_path / "photos" / "a.png", 4)
    with pytest.raises(InputError, match="none of its 2 photos"):
        detect.load(
            given(
                tmp_path / "photos",
                {"../secret.png": [[0, 0, 9, 9]], str(tmp_path / "secret.png"): [[0, 0, 9, 9]]},
            )
        )
    find = detect.load(given(tmp_path / "photos", {"a.png": [[0, 0, 9, 9]]}))
    with pytest.raises(InputError, match="no photo of its folder"):
        find(outside)
