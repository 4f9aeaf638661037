"""What every detector must keep to: the bundled ones, the user's, and those in `BACKENDS`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from keyact import detect
from keyact.detect.base import Detector
from keyact.detect.onnx_detector import LETTERBOX_GREY, letterbox
from keyact.errors import KeyactError, UnknownNameError, WeightsError
from keyact.formats.cache import model_name, pixel_hash
from keyact.results import FrameResult, Person
from notebooks import drawn
from tests.backend_models import make_movenet, make_yolox
from tests.onnx_models import make_detector

TINY = "tiny-detector"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    make_detector(path)
    return path


def red_rectangle(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = (0, 0, 255)  # BGR
    return image


DRAWN, JOINTS = drawn.photo("jumping jack", seed=2, phase=1.0)
PHOTOS = {
    "drawn": DRAWN,
    "red": red_rectangle(256, 192, (40, 80, 120, 200)),
    "wide": red_rectangle(100, 700, (70, 10, 350, 90)),
    "noise": np.random.default_rng(0).integers(0, 255, (123, 231, 3), np.uint8),
    "one-pixel": np.full((1, 1, 3), 255, np.uint8),
    "thread": np.zeros((2, 5000, 3), np.uint8),
}


GIVEN = [[40, 80, 120, 200, 0.5], [-30, -10, 50.5, 60, 0.75], [500, 10, 900, 90], [1e5, 0, 2e5, 9]]
"""Boxes that are given for every photo: inside, partly outside, far outside."""


def given_boxes(folder: Path, request: pytest.FixtureRequest) -> str:
    for name, photo in PHOTOS.items():
        cv2.imwrite(str(folder / f"{name}.png"), photo)
    boxes = {f"{name}.png": [] if name == "noise" else GIVEN for name in PHOTOS}
    (folder / "people.json").write_text(json.dumps(boxes), "utf-8")
    return f"boxes:{folder / 'people.json'}"


def small_cache(folder: Path, request: pytest.FixtureRequest) -> str:
    person = Person(
        box=(40, 80, 120, 200), box_score=0.9, score=2, layout="coco17",
        keypoints=np.ones((17, 3)),
    )  # fmt: skip
    lines = [
        FrameResult(
            source=name, width=photo.shape[1], height=photo.shape[0], image_only=False,
            people=(person,), timings_ms={}, model=model_name("alphapose", pixel_hash(photo)),
        ).to_json()
        for name, photo in PHOTOS.items()
    ]  # fmt: skip
    (folder / "cache.jsonl").write_text("\n".join(lines), "utf-8")
    return f"precomputed:{folder / 'cache.jsonl'}"


def tiny_yolox(folder: Path, request: pytest.FixtureRequest) -> str:
    make_yolox(folder / "yolox.onnx")
    return f"yolox:{folder / 'yolox.onnx'}"


def real_yolox(folder: Path, request: pytest.FixtureRequest) -> str:
    path = Path(request.getfixturevalue("shared_dir")) / "weights" / "yolox_nano_coco.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return f"yolox:{path}"


FILES: dict[str, Callable[[Path, pytest.FixtureRequest], str]] = {
    "boxes": given_boxes,
    "precomputed": small_cache,
    "yolox": tiny_yolox,
    "yolox (nano)": real_yolox,
}
NAMES = [name for name in detect.names() if name not in FILES]


def load(
    name: str, request: pytest.FixtureRequest, factory: pytest.TempPathFactory, threads: int = 1
) -> Detector:
    asked = str(request.getfixturevalue("tiny")) if name == TINY else name
    if name in FILES:
        asked = FILES[name](factory.mktemp("files"), request)
    return detect.load(asked, threads=threads)


@pytest.fixture(scope="module", params=[TINY, *NAMES, *FILES])
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return load(request.param, request, tmp_path_factory)


def test_every_backend_is_held_to_this() -> None:
    assert set(detect.BACKENDS) <= {*FILES, *NAMES}


@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS.keys())
def test_form(detector: Detector, photo: np.ndarray) -> None:
    assert isinstance(detector, Detector) and detector.name
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


def test_someone_is_found(detector: Detector) -> None:
    """Or what the others ask of boxes would be asked of none."""
    assert sum(len(detector(photo)[0]) for photo in PHOTOS.values())


@pytest.mark.parametrize("name", [TINY, *NAMES, *FILES])
def test_the_number_of_threads_changes_nothing(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, two = (load(name, request, tmp_path_factory, threads) for threads in (1, 2))
    for photo in PHOTOS.values():
        for alone, together in zip(one(photo), two(photo), strict=True):
            np.testing.assert_allclose(together, alone, atol=1e-2)


@pytest.mark.parametrize("name", ["persondet-m", "yolox (nano)"])
def test_the_drawn_person_is_found_where_it_was_drawn(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    boxes, scores = load(name, request, tmp_path_factory)(DRAWN)
    assert scores[0] > 0.3
    around = (JOINTS.min(0) >= boxes[0, :2]).all() and (JOINTS.max(0) <= boxes[0, 2:]).all()
    assert around and iou(boxes[0], (*JOINTS.min(0), *JOINTS.max(0))) > 0.5


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


@pytest.mark.parametrize("decoded", [False, True], ids=["raw", "decoded"])
@pytest.mark.parametrize("size", [(96, 96), (64, 160)], ids=str)
@pytest.mark.parametrize(
    ("photo_size", "box"),
    [((256, 192), (40, 80, 120, 200)), ((100, 700), (77, 11, 352, 88)), ((32, 32), (8, 4, 20, 30))],
    ids=["portrait", "panorama", "enlarged"],
)
def test_yolox_finds_the_rectangle_once(
    photo_size: tuple[int, int],
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    decoded: bool,
    tmp_path: Path,
) -> None:
    make_yolox(tmp_path / "y.onnx", *size, decoded=decoded)
    boxes, scores = detect.load(f"yolox:{tmp_path / 'y.onnx'}")(red_rectangle(*photo_size, box))
    pixel = max(photo_size[0] / size[0], photo_size[1] / size[1])  # of the input, in photo pixels
    assert scores.tolist() == pytest.approx([0.9])  # the near copy and the weak box are gone
    np.testing.assert_allclose(boxes[0], box, atol=1.3 * max(pixel, 1))


def test_yolox_thresholds(tmp_path: Path) -> None:
    make_yolox(tmp_path / "y.onnx", classes=1)  # a network of people alone
    photo = red_rectangle(96, 96, (20, 20, 60, 80))
    asked = f"yolox:{tmp_path / 'y.onnx'}"
    assert len(detect.load(asked, score_threshold=0.95)(photo)[0]) == 0
    found = detect.load(asked, score_threshold=0.04)
    assert found(photo)[1].tolist() == pytest.approx([0.9])
    found.nms_iou = 1.0  # type: ignore[attr-defined]
    assert found(photo)[1].tolist() == pytest.approx([0.9, 0.8, 0.05])
    assert len(found(np.zeros((96, 96, 3), np.uint8))[0]) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_detector, "YOLOX has one input"),
        (make_movenet, "YOLOX has one input"),
        (lambda path: make_yolox(path, 80, 80), "input 80x80 is not supported"),
        (lambda path: path.write_bytes(b"hello"), "not"),
        (lambda path: None, "cannot be read"),
    ],
    ids=["own", "movenet", "size", "text", "missing"],
)
def test_what_is_no_yolox_is_refused(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "bad.onnx")
    with pytest.raises(WeightsError, match=message) as caught:
        detect.load(f"yolox:{tmp_path / 'bad.onnx'}")
    assert "bad.onnx" in str(caught.value) and "\n" not in str(caught.value)


def test_real_yolox_finds_the_people(photos_dir: Path, request: pytest.FixtureRequest) -> None:
    found = detect.load(real_yolox(photos_dir, request), threads=1, score_threshold=0.3)
    table = json.loads((photos_dir / "test_coco.json").read_text("utf-8"))
    hits, people = 0, 0
    for image in table["images"]:
        boxes, _ = found(cv2.imread(str(photos_dir / image["file_name"])))
        for person in table["annotations"]:
            if person["image_id"] == image["id"] and person["num_keypoints"]:
                x, y, w, h = person["bbox"]
                people += 1
                hits += max((iou(box, (x, y, x + w, y + h)) for box in boxes), default=0) > 0.5
    assert people == 12 and hits >= 11


def iou(a: np.ndarray, b: tuple[float, ...]) -> float:
    shared = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    areas = (a[2:] - a[:2]).prod() + (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (areas - shared))


@pytest.mark.parametrize("name", ["boxes", "precomputed", "yolox"])
def test_a_backend_without_its_file_says_what_to_type(name: str) -> None:
    with pytest.raises(KeyactError, match=f"{name}:") as caught:
        detect.load(name)
    assert "\n" not in str(caught.value)


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


def test_letterbox_as_yolox_does_it() -> None:
    """Sides are cut down to whole pixels, and one zoom holds for both."""
    canvas, zoom = letterbox(np.full((100, 150, 3), 200, np.uint8), 64, average=False)
    assert zoom == pytest.approx((64 / 150, 64 / 150))
    assert (canvas[:42, :64] == 200).all() and (canvas[42:] == LETTERBOX_GREY).all()


def test_yolox_chooses_by_objectness_times_class_and_shows_objectness(tmp_path: Path) -> None:
    make_yolox(tmp_path / "y.onnx", classes=3, decoded=True)
    network = detect.load(f"yolox:{tmp_path / 'y.onnx'}")
    rows = np.zeros((len(network._cells.stride), 8), np.float32)  # type: ignore[attr-defined]
    rows[:4] = [
        [20, 20, 20, 20, 0.9, 0.4, 0.1, 0],  # a person, .36, over the next one
        [20, 21, 20, 20, 0.5, 0.7, 0.1, 0],  # .35
        [70, 70, 20, 20, 0.95, 0.5, 0.6, 0],  # rather something else
        [70, 20, 20, 20, 0.6, 0.9, 0.1, 0],  # .54, but a lower objectness
    ]
    network._run = lambda canvas: rows  # type: ignore[attr-defined]
    boxes, scores = network(np.zeros((96, 96, 3), np.uint8))
    assert scores.tolist() == pytest.approx([0.9, 0.6])
    assert boxes.tolist() == [[10, 10, 30, 30], [60, 10, 80, 30]]


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
