from __future__ import annotations

import sys

import numpy as np
import pytest

from keyact.errors import KeyactError
from keyact.evaluate.perturbations import (
    CORRUPTIONS,
    HIDDEN,
    JITTER,
    PERTURBATIONS,
    SEVERITIES,
    corrupt,
    disturb,
    occlude,
    within_boxes,
)
from keyact.layouts import get_layout

BOXES = np.array([[10, 10, 50, 90], [60, 20, 100, 60]], np.float32)
NOBODY = np.zeros((0, 17, 3), np.float32)


def scene() -> np.ndarray:
    """Shapes of several sizes and colours, so that every corruption has something to spoil."""
    y, x = np.mgrid[:96, :128]
    waves = [127 + 120 * np.sin(x / 7 + c) * np.cos(y / (5 + c)) for c in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def poses(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.random((2, 17, 3))
    points[..., 2] = 0.5 + points[..., 2] / 2
    points[..., :2] = BOXES[:, None, :2] + points[..., :2] * 40
    return points.astype(np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_seeded_grow_and_leave_no_trace(name: str) -> None:
    pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
    image = scene()
    kept = image.copy()
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    made = {severity: corrupt(image, name, severity, seed=3) for severity in (1, 5)}
    assert (np.random.get_state()[1] == before).all()  # the caller's random numbers go on
    np.testing.assert_array_equal(image, kept)
    for severity, picture in made.items():
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
        np.testing.assert_array_equal(picture, corrupt(image, name, severity, seed=3))
    change = [np.abs(made[s].astype(float) - image).mean() for s in (1, 5)]
    assert 0 < change[0] < change[1]


def test_corruptions_see_the_colours_in_their_order() -> None:
    pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 2] = 200  # red, in BGR
    picture = corrupt(image, "jpeg_compression", 1, seed=0)
    assert picture[..., 2].mean() > 150 > 50 > picture[..., 0].mean()


def test_without_the_library_it_is_said_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(KeyactError, match="--no-deps imagecorruptions-imaug"):
        corrupt(scene(), "fog", 1, seed=0)


def test_tiny_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        corrupt(np.zeros((20, 40, 3), np.uint8), "fog", 1, seed=0)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("boxes", [BOXES, BOXES[:0]], ids=["people", "nobody"])
def test_occlusion_hides_its_share_of_the_largest_person(severity: int, boxes: np.ndarray) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    hidden = occlude(image, boxes, severity, np.random.default_rng(0))
    assert not image.any()
    rows, columns = np.nonzero(hidden[..., 0])
    area = 40 * 80 if len(boxes) else 96 * 128
    assert len(rows) == pytest.approx(HIDDEN[severity - 1] * area, rel=0.06)
    if len(boxes):
        assert 10 <= columns.min() <= columns.max() < 50
        assert 10 <= rows.min() <= rows.max() < 90


def disturbed(name: str, severity: int, strangers: np.ndarray = NOBODY) -> np.ndarray:
    points = poses()
    made = disturb(name, severity, BOXES, points, strangers, np.random.default_rng(1))
    np.testing.assert_array_equal(points, poses())
    return made


def test_joints_jitter_by_a_share_of_the_box() -> None:
    for severity in SEVERITIES:
        moved = (disturbed("joint_jitter", severity) - poses())[..., :2]
        for person, longer in enumerate((80, 40)):
            expected = JITTER[severity - 1] * longer
            assert moved[person].std() == pytest.approx(expected, rel=0.35)


def test_joints_drop_out_until_none_is_seen() -> None:
    seen = [(disturbed("joint_dropout", s)[..., 2] > 0).mean() for s in SEVERITIES]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.7
    assert seen[-1] == 0


def test_left_and_right_swap() -> None:
    swapped = disturbed("left_right_swap", 5)
    np.testing.assert_array_equal(swapped, poses()[:, get_layout("coco17").flip])


def test_strangers_fill_the_box() -> None:
    stranger = within_boxes(BOXES[:1], poses(7)[:1])
    made = disturbed("wrong_person", 5, stranger)
    np.testing.assert_allclose(within_boxes(BOXES, made), np.repeat(stranger, 2, 0), atol=1e-4)
    np.testing.assert_array_equal(disturbed("wrong_person", 5), poses())  # there is no stranger


@pytest.mark.parametrize(
    "name", [name for name, one in PERTURBATIONS.items() if one.family == "keypoints"]
)
def test_nobody_stays_nobody(name: str) -> None:
    made = disturb(name, 3, BOXES[:0], NOBODY, poses(), np.random.default_rng(0))
    assert made.shape == (0, 17, 3)


def test_there_are_the_fifteen_of_imagenet_c() -> None:
    library = pytest.importorskip("imagecorruptions")
    assert list(CORRUPTIONS) == library.get_corruption_names("common")
