from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from keyact.errors import KeyactError
from keyact.layouts import get_layout, layout_names
from keyact.outputs import annotate, label_text
from keyact.results import Action, FrameResult, Person


def person(box: tuple[float, ...], layout: str = "coco17", **changes: Any) -> Person:
    """Somebody whose joints are spread evenly over the box."""
    size = len(get_layout(layout))
    x1, y1, x2, y2 = box
    turn = np.linspace(0, 2 * np.pi, size, endpoint=False)
    keypoints = np.column_stack(
        [
            (x1 + x2) / 2 + 0.3 * (x2 - x1) * np.cos(turn),
            (y1 + y2) / 2 + 0.3 * (y2 - y1) * np.sin(turn),
            np.full(size, 0.9),
        ]
    )
    values: dict[str, Any] = {
        "box": box,
        "box_score": 0.9,
        "score": 2.0,
        "layout": layout,
        "keypoints": keypoints,
        "action": "golf",
        "actions": (Action(label="golf", probability=0.87),),
        "posture": "standing",
    }
    return Person(**{**values, **changes})


def frame(width: int, height: int, *people: Person, **changes: Any) -> FrameResult:
    values: dict[str, Any] = {
        "source": "photo.jpg",
        "width": width,
        "height": height,
        "image_action": "golf",
        "image_actions": (Action(label="golf", probability=0.5),),
        "image_only": not people,
        "people": people,
        "timings_ms": {},
        "model": "m",
    }
    return FrameResult(**{**values, **changes})


def photo(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "golf 87% · standing"),
        ({"posture": None}, "golf 87%"),
        ({"posture": "unknown"}, "golf 87%"),
        ({"track_id": 3}, "#3 golf 87% · standing"),
        ({"action": "unknown"}, "unknown · standing"),
        ({"settled": "golf"}, "golf 87% · standing"),
        ({"settled": "boxing"}, "boxing · standing"),  # whatever this frame looks like
        ({"settled": "unknown"}, "unknown · standing"),
        ({"action": "unknown", "actions": (), "settled": "squat"}, "squat · standing"),
        ({"actions": ()}, "golf · standing"),
        ({"action": "unknown", "actions": ()}, "standing"),  # key points alone
        ({"action": "unknown", "actions": (), "posture": None}, ""),
        (
            {"action": "disc_throw", "actions": (Action(label="disc_throw", probability=1),)},
            "disc throw 100% · standing",
        ),
    ],
)
def test_label_text(changes: dict[str, Any], text: str) -> None:
    assert label_text(person((0, 0, 9, 9), **changes)) == text


@pytest.mark.parametrize(("width", "height"), [(224, 224), (640, 427), (1700, 900), (4000, 300)])
def test_only_the_person_and_label_are_drawn_over(width: int, height: int) -> None:
    image = photo(width, height)
    before = image.copy()
    box = (0.3 * width, 0.4 * height, 0.45 * width, 0.8 * height)
    drawn = annotate(image, frame(width, height, person(box)))
    np.testing.assert_array_equal(image, before)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    changed = (drawn != image).any(axis=2)
    assert changed[int(0.4 * height) : int(0.8 * height)].any()
    # Nothing reaches the lower tenth or the left fifth: those pixels keep their exact value.
    assert not changed[int(0.9 * height) :].any()
    assert not changed[:, : int(0.2 * width)].any()


@pytest.mark.parametrize("layout", layout_names())
def test_every_layout_can_be_drawn(layout: str) -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    drawn = annotate(image, frame(300, 300, person((60, 60, 240, 240), layout)))
    # The joints lie on a ring inside the box, away from the box's corners and the label.
    assert drawn[100:200, 70:230].any()


def test_unsure_and_missing_joints_are_left_out() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    someone = person((60, 60, 240, 240))
    for score in (0.0, 0.1):
        hidden = someone.keypoints.copy()
        hidden[:, 2] = score
        drawn = annotate(image, frame(300, 300, person((60, 60, 240, 240), keypoints=hidden)))
        assert not drawn[100:200, 100:200].any()


def test_photo_without_people_gets_one_label_below() -> None:
    image = photo(640, 480)
    changed = (annotate(image, frame(640, 480)) != image).any(axis=2)
    assert changed[430:, :300].any()
    assert not changed[:400].any()
    empty = frame(640, 480, image_action="unknown", image_actions=())
    np.testing.assert_array_equal(annotate(image, empty), image)


def test_two_people_have_two_colours() -> None:
    image = np.zeros((400, 800, 3), np.uint8)
    drawn = annotate(
        image, frame(800, 400, person((50, 100, 250, 380)), person((500, 100, 700, 380)))
    )
    colours = [
        {tuple(pixel) for pixel in half.reshape(-1, 3) if pixel.max() > 150 and pixel.min() < 150}
        for half in (drawn[:, :400], drawn[:, 400:])
    ]
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (1, 1, (0, 0, 1, 1)),
        (8, 500, (0, 0, 8, 500)),
        (500, 8, (0, 0, 500, 8)),
        (100, 100, (50, 50, 50, 50)),
        (100, 100, (-1e7, -1e7, 1e7, 1e7)),
        (100, 100, (5e6, 5e6, 6e6, 6e6)),
    ],
)
def test_odd_photos_and_boxes_do_not_fail(width: int, height: int, box: tuple[float, ...]) -> None:
    drawn = annotate(photo(width, height), frame(width, height, person(box)))
    assert drawn.shape == (height, width, 3)


def test_many_people_in_a_thumbnail() -> None:
    crowd = [person((x, y, x + 20, y + 40)) for x in range(0, 200, 25) for y in range(0, 180, 45)]
    assert annotate(photo(224, 224), frame(224, 224, *crowd)).shape == (224, 224, 3)


def test_wrong_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="the photo is 640 x 480 pixels but the result"):
        annotate(photo(640, 480), frame(480, 640))


def test_a_track_has_one_colour_whatever_its_place_in_the_list() -> None:
    image = np.zeros((300, 600, 3), np.uint8)
    one = person((30, 60, 200, 280), track_id=1)
    two = person((330, 60, 500, 280), track_id=2)
    first = annotate(image, frame(600, 300, one, two))
    np.testing.assert_array_equal(first, annotate(image, frame(600, 300, two, one)))
    assert (first[:, :300] != first[:, 300:]).any()


def test_labels_have_the_letters_of_other_scripts() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    drawn = [
        annotate(image, frame(300, 300, person((60, 60, 240, 240), settled=word)))
        for word in ("Танец", "бегун")  # as long as each other
    ]
    assert (drawn[0] != drawn[1]).any()


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    image, result = np.zeros((300, 300, 3), np.uint8), frame(300, 300, person((60, 60, 240, 240)))
    own = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSerif.ttf")
    assert (annotate(image, result, font=own) != annotate(image, result)).any()
    (tmp_path / "text.ttf").write_text("no font")
    for name in ("text.ttf", "gone.ttf"):
        with pytest.raises(KeyactError, match=f"{name}: is no font"):
            annotate(image, result, font=tmp_path / name)
