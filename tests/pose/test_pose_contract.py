"""What every pose backend must keep to: the bundled ones, the user's, and a tiny one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from keyact import pose
from keyact.errors import UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.pose.base import PoseEstimator
from keyact.pose.decode import METHODS
from keyact.pose.onnx_pose import BATCH
from tests.onnx_models import BACKGROUND, DOT_COLOURS, JOINT_COLOUR, make_pose

TINY = "tiny-pose"
FLIP = get_layout("coco17").flip

# Joints in a 300 x 240 photo; on each pair the left joint is to the right (a front view).
JOINTS = np.array(
    [
        [120, 40], [136, 30], [104, 30], [152, 36], [88, 36], [150, 70], [90, 70],
        [165, 100], [75, 100], [172, 130], [66, 130], [140, 140], [100, 140],
        [144, 190], [94, 190], [148, 240], [90, 240],
    ],
    np.float64,
)  # fmt: skip
BOX = [50.0, 15, 190, 260]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    image = np.full((300, 240, 3), BACKGROUND, np.uint8)
    for (x, y), colour in zip(JOINTS, DOT_COLOURS[JOINT_COLOUR], strict=True):
        bgr = tuple(int(value) for value in colour[::-1])
        cv2.circle(image, (int(x), int(y)), 5, bgr, -1)
    return image


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    make_pose(path)
    return path


@pytest.fixture(scope="module", params=[TINY, *pose.names()])
def backend(request: pytest.FixtureRequest, tiny: Path) -> PoseEstimator:
    return pose.load(tiny if request.param == TINY else request.param, threads=1)


BOXES = np.array(
    [
        BOX,
        [60, 20, 180, 150],
        [-500, -500, -400, -300],  # outside the photo
        [230, 290, 900, 900],  # mostly outside
        [100, 100, 100.5, 100.2],  # tiny
        [10, 10, 10, 10],  # a point
        [0, 0, 240, 300],
    ]
)


def test_form(backend: PoseEstimator, photo: np.ndarray) -> None:
    assert isinstance(backend, PoseEstimator)
    found = backend(photo, BOXES)
    assert found.shape == (len(BOXES), len(get_layout(backend.layout)), 3)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert (found[..., 2] >= 0).all() and (found[..., 2] <= 1).all()


def test_no_boxes(backend: PoseEstimator, photo: np.ndarray) -> None:
    joints = len(get_layout(backend.layout))
    for none in (np.zeros((0, 4), np.float32), []):
        assert backend(photo, none).shape == (0, joints, 3)


def test_deterministic_and_input_untouched(backend: PoseEstimator, photo: np.ndarray) -> None:
    before, boxes = photo.copy(), BOXES.copy()
    np.testing.assert_array_equal(backend(photo, BOXES), backend(photo, BOXES))
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(boxes, BOXES)


def test_batch_equals_single(backend: PoseEstimator, photo: np.ndarray) -> None:
    boxes = np.concatenate([BOXES] * 3)
    assert len(boxes) > 2 * BATCH
    together = backend(photo, boxes)
    alone = np.concatenate([backend(photo, box[None]) for box in BOXES] * 3)
    sure = alone[..., 2] > 0.05  # on a blank map the strongest cell is a matter of rounding
    np.testing.assert_allclose(together[..., 2], alone[..., 2], atol=1e-3)
    np.testing.assert_allclose(together[sure], alone[sure], atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 4000, 3), (3000, 2, 3)])
def test_odd_photos(backend: PoseEstimator, shape: tuple[int, ...]) -> None:
    found = backend(np.zeros(shape, np.uint8), [[0, 0, shape[1], shape[0]]])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("decode", METHODS)
@pytest.mark.parametrize("flip_test", [False, True])
def test_dots_are_found_in_photo_pixels(
    tiny: Path, photo: np.ndarray, decode: str, flip_test: bool
) -> None:
    found = pose.load(tiny, threads=1, flip_test=flip_test, decode=decode)(photo, [BOX])[0]
    cell = 4 * 245 * 1.25 / 256  # photo pixels per heatmap cell
    tolerance = {"argmax": 0.6, "quarter": 0.45, "integral": 0.35, "dark": 0.35}[decode] * cell
    assert np.abs(found[:, :2] - JOINTS).max() < tolerance
    assert (found[:, 2] > 0.3).all()


@pytest.mark.parametrize("flip_test", [False, True])
def test_mirrored_photo_swaps_left_and_right(
    tiny: Path, photo: np.ndarray, flip_test: bool
) -> None:
    estimate = pose.load(tiny, threads=1, flip_test=flip_test)
    straight = estimate(photo, [BOX])[0]
    mirrored_box = [239 - BOX[2], BOX[1], 239 - BOX[0], BOX[3]]
    mirrored = estimate(np.ascontiguousarray(photo[:, ::-1]), [mirrored_box])[0][FLIP]
    mirrored[:, 0] = 239 - mirrored[:, 0]
    np.testing.assert_allclose(mirrored, straight, atol=0.5)


def test_flip_test_makes_the_answer_mirror_exact(tiny: Path, photo: np.ndarray) -> None:
    """Crop and mirrored crop are both run, so their order cannot matter."""
    estimate = pose.load(tiny, threads=1, flip_test=True)
    crops = np.random.default_rng(0).integers(0, 255, (2, 256, 192, 3), np.uint8)
    maps, scores = estimate._forward(crops)  # type: ignore[attr-defined]
    mirrored_maps, mirrored_scores = estimate._forward(crops[:, :, ::-1])  # type: ignore[attr-defined]
    np.testing.assert_allclose(mirrored_maps[:, FLIP][..., ::-1], maps, atol=1e-6)
    np.testing.assert_allclose(mirrored_scores[:, FLIP], scores, atol=1e-6)


def test_score_is_the_peak_when_the_network_gives_none(tmp_path: Path, photo: np.ndarray) -> None:
    make_pose(tmp_path / "plain.onnx", scores=False)
    found = pose.load(tmp_path / "plain.onnx", threads=1, decode="argmax")(photo, [BOX])[0]
    assert (found[:, 2] > 0.05).all() and (found[:, 2] <= 1).all()
    np.testing.assert_allclose(found[:, :2], JOINTS, atol=6)


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "coco18"},
        {"layout": None},
        {"input": [128]},
        {"input": "large"},
        {"input": [10**9, 96]},
        {"sigma": 0},
        {"sigma": "wide"},
        {"decode": "drak"},
        {"stride": 0},
        {"box_margin": float("nan")},
        {"kind": "detector"},
    ],
    ids=str,
)
def test_bad_metadata_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    make_pose(tmp_path / "bad.onnx", **changes)
    with pytest.raises(WeightsError, match=r"bad\.onnx") as caught:
        pose.load(tmp_path / "bad.onnx")
    assert "\n" not in str(caught.value)


def test_heatmaps_that_do_not_fit_the_layout(tmp_path: Path, photo: np.ndarray) -> None:
    make_pose(tmp_path / "bad.onnx", layout="halpe26")
    with pytest.raises(WeightsError, match="26 joints of layout halpe26"):
        pose.load(tmp_path / "bad.onnx")(photo, [BOX])


def test_unknown_names(tiny: Path) -> None:
    with pytest.raises(UnknownNameError, match="pose backend"):
        pose.load("fastpos")
    with pytest.raises(UnknownNameError, match="did you mean 'dark'"):
        pose.load(tiny, decode="drak")
