"""Action networks that look at photos: what they are given, and which files are taken."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_models import make_action

from keyact.action.keypoint_fusion import KeypointFusion, photo_squares
from keyact.errors import WeightsError
from keyact.runtime import OnnxModel

NOBODY = np.zeros((0, 4), np.float32), np.zeros((0, 17, 3), np.float32)
ONE = np.float32([[4, 4, 30, 30]]), np.full((1, 17, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(64, 64, 1), (70, 64, 1), (72, 64, 2), (128, 64, 2), (64, 128, 2), (192, 64, 3), (64, 192, 3),
     (640, 64, 3), (1, 400, 3), (1, 1, 1)],
)  # fmt: skip
def test_squares_cover_the_photo(width: int, height: int, count: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    squares = photo_squares(photo, min(width, height))
    assert squares.shape == (count, *[min(width, height)] * 2, 3)
    assert squares.dtype == np.uint8
    along = photo if height > width else photo.transpose(1, 0, 2)
    strips = [s if height > width else s.transpose(1, 0, 2) for s in squares[..., ::-1]]
    if count > 1:  # from one end to the other
        assert (strips[0][0] == along[0]).all()
        assert (strips[-1][-1] == along[-1]).all()
    if 1 < max(width, height) / min(width, height) <= 3:
        seen = {row.tobytes() for strip in strips for row in strip}
        missing = [i for i, row in enumerate(along) if row.tobytes() not in seen]
        assert len(missing) <= 0.1 * min(width, height)


def test_a_round_thing_stays_round() -> None:
    photo = np.zeros((60, 90, 3), np.uint8)
    y, x = np.mgrid[:60, :90]
    photo[(y - 30) ** 2 + (x - 30) ** 2 < 20**2] = 255
    first = photo_squares(photo, 120)[0, ..., 0] > 127
    wide, high = first.any(0).sum(), first.any(1).sum()
    assert wide == pytest.approx(high, abs=2)
    assert wide == pytest.approx(80, abs=4)


@pytest.mark.parametrize("people", [NOBODY, ONE], ids=["nobody", "one"])
def test_a_file_that_wants_squares_gets_them(people: tuple[np.ndarray, np.ndarray]) -> None:
    photo = np.zeros((64, 128, 3), np.uint8)
    photo[:, 96:] = 255, 0, 0  # BGR: blue at one end, in half of the second square
    without = KeypointFusion(OnnxModel(make_action(crop_margin=1.25)), "without").logits(
        photo, *people
    )
    heard = KeypointFusion(OnnxModel(make_action(squares=48, crop_margin=1.25)), "with").logits(
        photo, *people
    )
    np.testing.assert_allclose(heard - without, [[0, 0, 10 / 4]], atol=0.1)


@pytest.mark.parametrize("side", [16, 2048])
def test_squares_of_an_absurd_size_are_refused(side: int) -> None:
    with pytest.raises(WeightsError, match="out of range"):
        KeypointFusion(OnnxModel(make_action(squares=side, crop_margin=1.25)), "absurd")
