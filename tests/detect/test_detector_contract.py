"""What every detector must keep to: the bundled ones, the user's, and a tiny one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keyact import detect
from keyact.detect.base import Detector
from keyact.detect.onnx_detector import LETTERBOX_GREY, letterbox
from keyact.errors import UnknownNameError, WeightsError
from tests.onnx_models import make_detector

TINY = "tiny-detector"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    make_detector(path)
    return path


@pytest.fixture(scope="module", params=[TINY, *detect.names()])
def detector(request: pytest.FixtureRequest, tiny: Path) -> Detector:
    return detect.load(tiny if request.param == TINY else request.param, threads=1)


def red_rectangle(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = (0, 0, 255)  # BGR
    return image


PHOTOS = {
    "red": red_rectangle(256, 192, (40, 80, 120, 200)),
    "wide": red_rectangle(100, 700, (70, 10, 350, 90)),
    "noise": np.random.default_rng(0).integers(0, 255, (123, 231, 3), np.uint8),
    "one-pixel": np.full((1, 1, 3), 255, np.uint8),
    "thread": np.zeros((2, 5000, 3), np.uint8),
}


@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS.keys())
def test_form(detector: Detector, photo: np.ndarray) -> None:
    assert isinstance(detector, Detector)
    before = photo.copy()
    boxes, scores = detector(photo)
    assert boxes.shape == (len(scores), 4) and scores.ndim == 1
    assert boxes.dtype == scores.dtype == np.float32
    assert (np.diff(scores) <= 0).all() and (scores >= 0).all() and (scores <= 1).all()
    height, width = photo.shape[:2]
    assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    np.testing.assert_array_equal(photo, before)
    for first, again in zip((boxes, scores), detector(photo), strict=True):
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("size", "box"),
    [((256, 192), (40, 80, 120, 200)), ((100, 700), (77, 11, 352, 88)), ((32, 32), (8, 4, 20, 30))],
    ids=["portrait", "panorama", "enlarged"],
)
def test_rectangle_is_found_once_in_photo_pixels(
    tiny: Path, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    boxes, scores = detect.load(tiny, threads=1)(red_rectangle(*size, box))
    pixel = max(size) / 64  # one input pixel in photo pixels
    assert scores.tolist() == pytest.approx([0.9])  # the near copy and the weak box are gone
    np.testing.assert_allclose(boxes[0], box, atol=1.01 * max(pixel, 1))


def test_thresholds(tiny: Path, tmp_path: Path) -> None:
    photo = PHOTOS["red"]
    assert len(detect.load(tiny, score_threshold=0.95)(photo)[0]) == 0
    make_detector(tmp_path / "loose.onnx", nms_iou=0.99, score_threshold=0.05)
    assert detect.load(tmp_path / "loose.onnx")(photo)[1].tolist() == pytest.approx([0.9, 0.8])


def test_whole_image() -> None:
    boxes, scores = detect.load("whole-image")(np.zeros((30, 50, 3), np.uint8))
    assert boxes.tolist() == [[0, 0, 50, 30]] and scores.tolist() == [1]


@pytest.mark.parametrize(
    ("shape", "filled", "zoom"),
    [
        ((100, 200), (32, 64), (0.32, 0.32)),
        ((20, 10), (64, 32), (3.2, 3.2)),
        ((1, 9000), (1, 64), (64 / 9000, 1.0)),
    ],
)
def test_letterbox(
    shape: tuple[int, int], filled: tuple[int, int], zoom: tuple[float, float]
) -> None:
    canvas, found = letterbox(np.full((*shape, 3), 200, np.uint8), 64)
    assert found == pytest.approx(zoom)
    expected = np.full((64, 64, 3), LETTERBOX_GREY, np.uint8)
    expected[: filled[0], : filled[1]] = 200
    np.testing.assert_array_equal(canvas, expected)


@pytest.mark.parametrize(
    "changes",
    [{"input": None}, {"input": [64, 32]}, {"input": [8, 8]}, {"nms_iou": "x"}, {"kind": "pose"}],
    ids=str,
)
def test_bad_metadata_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    make_detector(tmp_path / "bad.onnx", **changes)
    with pytest.raises(WeightsError, match=r"bad\.onnx"):
        detect.load(tmp_path / "bad.onnx")


def test_unknown_name_knows_whole_image() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'whole-image'"):
        detect.load("wholeimage")
