from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keyact import action
from keyact.errors import UnknownNameError
from keyact.evaluate import explanation
from keyact.evaluate.explanation import explain
from keyact.evaluate.explanation_picture import save_explanation
from keyact.layouts import get_layout

BOXES = np.array([[40, 20, 90, 80], [5, 5, 25, 45]], np.float32)


def scene() -> np.ndarray:
    """A red rectangle, which the tiny model calls red, on grey; a dull one beside it."""
    image = np.full((96, 128, 3), 120, np.uint8)
    image[20:80, 40:90] = (30, 30, 230)
    image[5:45, 5:25] = (90, 90, 130)
    return image


def joints() -> np.ndarray:
    points = np.zeros((2, 17, 3), np.float32)
    points[..., :2] = (BOXES[:, None, :2] + BOXES[:, None, 2:]) / 2
    points[0, :12, 2] = 0.9
    points[1, :, 2] = 0.4
    return points


@pytest.fixture
def model() -> Any:
    return action.load("tiny-action")


def test_the_place_that_counts_is_where_the_colour_is(model: Any) -> None:
    image, points = scene(), joints()
    found = explain(image, BOXES, points, model, jobs=2)
    assert (found.label, found.places.shape) == ("red", image.shape[:2])
    inside = found.places[25:75, 45:85].mean()
    outside = found.places[:, 110:].mean()
    assert inside > 0
    assert inside > 3 * abs(outside)
    np.testing.assert_array_equal(image, scene())
    np.testing.assert_array_equal(points, joints())
    whole = model(image, BOXES, points)[1]
    assert found.probability == pytest.approx(float(whole[0]), abs=1e-6)


def test_large_photos_are_scaled_and_the_map_has_their_size(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation, "LARGEST", 64)
    found = explain(scene(), BOXES, joints(), model, jobs=1)
    assert found.places.shape == (96, 128)
    assert found.places[25:75, 45:85].mean() > 3 * abs(found.places[:, 110:].mean())
    np.testing.assert_allclose(found.boxes, BOXES, atol=1e-3)
    np.testing.assert_allclose(found.keypoints, joints(), atol=1e-3)


def test_every_seen_joint_counts_alike_in_a_model_that_takes_their_mean(model: Any) -> None:
    found = explain(scene(), BOXES, joints(), model, person=0, jobs=1)
    assert found.people == (0,)
    assert (found.joints[0, 12:] == 0).all()  # not seen
    assert found.joints[0, :12] == pytest.approx(found.joints[0, 0], rel=0.02)
    assert found.joints[0, 0] > 0


def test_another_action_and_another_person(model: Any) -> None:
    image, points = scene(), joints()
    blue = explain(image, BOXES, points, model, label="blue", person=1, jobs=1)
    assert (blue.label, blue.people) == ("blue", (1,))
    assert blue.probability == pytest.approx(float(model(image, BOXES, points)[0][1, 2]), abs=1e-6)
    assert (blue.joints < 0).all()  # joints speak for red here, so against blue
    np.testing.assert_array_equal(blue.boxes, BOXES[1:])


def test_a_photo_with_nobody_has_places_and_no_joints(model: Any, tmp_path: Path) -> None:
    found = explain(scene(), [], [], model, jobs=1)
    assert found.joints.shape == (0, 17)
    assert found.places.max() > 0
    save_explanation(tmp_path, "empty", scene(), found)
    assert cv2.imread(str(tmp_path / "empty-explanation.png")).std() > 5


@pytest.mark.parametrize(
    ("options", "said"), [({"label": "reed"}, "'red'"), ({"person": 2}, "person")]
)
def test_unknown_actions_and_people_are_refused(
    model: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnknownNameError, match=said):
        explain(scene(), BOXES, joints(), model, **options)


def test_it_is_drawn_and_written(model: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = explain(
        scene(), BOXES, joints(), model, jobs=1, progress=lambda *done: told.append(done)
    )
    assert told[-1][0] == told[-1][1] == len(told)
    picture, numbers = save_explanation(tmp_path, "one", scene(), found)
    assert picture.name == "one-explanation.png"
    assert cv2.imread(str(picture)).std() > 5
    data = json.loads(numbers.read_text("utf-8"))
    assert (data["label"], data["person"], data["schema_version"]) == ("red", None, "1")
    assert 40 <= data["strongest_place"]["x"] < 90
    assert 20 <= data["strongest_place"]["y"] < 80
    assert [person["number"] for person in data["people"]] == [0, 1]
    assert set(data["people"][0]["joints"]) == set(get_layout("coco17").joints)
