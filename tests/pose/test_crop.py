from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyact.pose.crop import (
    BORDER,
    cells_to_input,
    crop_people,
    crop_transforms,
    input_to_cells,
    to_input,
    to_photo,
)

SIZE = (128, 96)
coordinate = st.floats(-5000, 5000)


def test_wide_and_tall_boxes_are_padded_to_the_aspect_and_centred() -> None:
    boxes = [[10, 20, 110, 40], [10, 20, 30, 420]]
    transforms = crop_transforms(boxes, SIZE, 1.25)
    # Input size over crop size: the wide box fills the width, the tall one the height.
    np.testing.assert_allclose(transforms[:, 0], [96 / 125, 128 / 500])
    centres = to_input([[[60, 30]], [[20, 220]]], transforms)
    np.testing.assert_allclose(centres, [[[47.5, 63.5]]] * 2)


def test_cell_convention() -> None:
    np.testing.assert_array_equal(cells_to_input([0, 1, 2.5]), [1.5, 5.5, 11.5])
    np.testing.assert_array_equal(cells_to_input([0], stride=8), [3.5])
    np.testing.assert_allclose(input_to_cells(cells_to_input([3.25, -1])), [3.25, -1])


@given(
    x=coordinate, y=coordinate, w=st.floats(0, 3000), h=st.floats(0, 3000),
    u=st.floats(-50, 150), v=st.floats(-50, 200),
)  # fmt: skip
def test_round_trip_is_exact(x: float, y: float, w: float, h: float, u: float, v: float) -> None:
    transforms = crop_transforms([[x, y, x + w, y + h]], SIZE)
    point = np.array([[[u, v]]])
    assert np.abs(to_input(to_photo(point, transforms), transforms) - point).max() < 1e-3
    cells = input_to_cells(to_input(to_photo(point, transforms), transforms))
    assert np.abs(cells_to_input(cells) - point).max() < 1e-3


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([100, 60, 180, 220], id="enlarged"),
        pytest.param([40, 30, 360, 560], id="shrunk"),
        pytest.param([-300, -200, 700, 900], id="over-the-edges"),
        pytest.param([-600, -900, 1300, 1900], id="shrunk-a-lot"),
    ],
)
def test_pixels_land_where_the_transform_says(box: list[float]) -> None:
    """On a photo whose channels are its own coordinates, the crop reads them back."""
    height, width = 640, 480
    y, x = np.mgrid[:height, :width]
    photo = np.stack([x / 2, y / 3, np.full_like(x, 7.0)], -1).round().astype(np.uint8)
    transforms = crop_transforms([box], SIZE)
    crop = crop_people(photo, transforms, SIZE)[0].astype(float)
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    where = to_photo(np.stack([u, v], -1).reshape(1, -1, 2), transforms).reshape(*SIZE, 2)
    edge = 2 / transforms[0, 0] + 2  # the grey outside mixes in near the photo's edge
    inside = ((where > edge) & (where < np.array([width, height]) - 1 - edge)).all(-1)
    assert inside.sum() > 100
    assert np.abs(crop[..., 0] - where[..., 0] / 2)[inside].max() < 1
    assert np.abs(crop[..., 1] - where[..., 1] / 3)[inside].max() < 1
    shift = (crop[..., 1] - where[..., 1] / 3)[inside].mean() * 3 * transforms[0, 0]
    assert abs(shift) < 0.15  # input pixels; the grey levels of the photo are whole numbers
    outside = ((where < -edge) | (where > np.array([width, height]) + edge)).any(-1)
    assert (crop[outside] == BORDER).all()


def test_fine_texture_does_not_alias() -> None:
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 254
    crop = crop_people(stripes, crop_transforms([[0, 0, 1000, 1000]], SIZE), SIZE)[0]
    assert np.abs(crop[40:80, 30:60].astype(int) - 127).max() <= 16


def test_mirrored_photo_gives_mirrored_crop() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
    box = np.array([20.0, 10, 70, 100])
    mirrored_box = [89 - box[2], box[1], 89 - box[0], box[3]]
    crop = crop_people(photo, crop_transforms([box], SIZE), SIZE)[0]
    mirrored = crop_people(
        np.ascontiguousarray(photo[:, ::-1]), crop_transforms([mirrored_box], SIZE), SIZE
    )[0]
    # OpenCV samples on a grid of 1/32 px, rounded alike in both directions.
    assert np.abs(crop[:, ::-1].astype(int) - mirrored.astype(int)).mean() < 3


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 5], [50, 50, 20, 20], [1e9, 0, 2e9, 5], [-1e30, -1e30, 1e30, 1e30], [0, 0, 1, 1e6]],
)  # fmt: skip
def test_odd_boxes_give_a_crop(box: list[float]) -> None:
    photo = np.zeros((40, 30, 3), np.uint8)
    transforms = crop_transforms([box], SIZE)
    assert np.isfinite(transforms).all()
    assert crop_people(photo, transforms, SIZE).shape == (1, *SIZE, 3)


def test_no_boxes_and_bad_boxes() -> None:
    none = crop_transforms(np.zeros((0, 4)), SIZE)
    assert crop_people(np.zeros((4, 4, 3), np.uint8), none, SIZE).shape == (0, *SIZE, 3)
    for bad in ([[0, 0, np.nan, 1]], [[0, 0, 1]], [0, 0, 1, 1], [[0, 0, np.inf, 1]]):
        with pytest.raises(ValueError, match="boxes"):
            crop_transforms(bad, SIZE)
