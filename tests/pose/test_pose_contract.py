"""What every pose backend must keep to: the bundled ones, the user's, and those in `BACKENDS`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from keyact import pose
from keyact.errors import InputError, KeyactError, UnknownNameError, WeightsError
from keyact.formats.cache import model_name, pixel_hash
from keyact.layouts import convert, get_layout
from keyact.pose.base import PoseEstimator
from keyact.pose.decode import METHODS
from keyact.pose.onnx_pose import BATCH
from keyact.results import FrameResult, Person
from notebooks import drawn
from tests.backend_models import make_movenet, make_rtmpose
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
ODD_SHAPES = [(1, 1, 3), (1, 4000, 3), (3000, 2, 3), (2, 40_000, 3)]


def dots() -> np.ndarray:
    image = np.full((300, 240, 3), BACKGROUND, np.uint8)
    for (x, y), colour in zip(JOINTS, DOT_COLOURS[JOINT_COLOUR], strict=True):
        bgr = tuple(int(value) for value in colour[::-1])
        cv2.circle(image, (int(x), int(y)), 5, bgr, -1)
    return image


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return dots()


PERSON = [268.0, 48, 473, 273]
"""Box of the drawn person in `crowd`."""


def crowd() -> np.ndarray:
    """The dots, which the tiny networks know, and a drawn person, whom the real ones see."""
    image = dots()
    picture = np.full((300, 260, 3), 160, np.uint8)
    joints = drawn.joints_of("jumping jack", 0.5)
    drawn.draw(picture, drawn.placed(joints, 130, 160, 120), 3)
    return np.hstack([image, picture])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    make_pose(path)
    return path


# Backends that need a file: a tiny one of their signature, or the real one where there is none.
Make = Callable[[Path, pytest.FixtureRequest], str]


def tiny_alphapose(folder: Path, request: pytest.FixtureRequest) -> str:
    make_pose(folder / "fast.onnx", family="alphapose", head="heatmap", sigma=2.0)
    return f"alphapose:{folder / 'fast.onnx'}"


def real_mediapipe(folder: Path, request: pytest.FixtureRequest) -> str:
    pytest.importorskip("mediapipe", reason="needs the extra mediapipe", exc_type=ImportError)
    return f"mediapipe:{weights_file(request, 'mediapipe_pose_landmarker_full.task')}"


def tiny_movenet(folder: Path, request: pytest.FixtureRequest) -> str:
    make_movenet(folder / "lightning.onnx")
    return f"movenet:{folder / 'lightning.onnx'}"


def real_movenet(folder: Path, request: pytest.FixtureRequest) -> str:
    pytest.importorskip("ai_edge_litert", reason="needs the extra movenet", exc_type=ImportError)
    return f"movenet:{weights_file(request, 'movenet_thunder_fp16.tflite')}"


def small_cache(folder: Path, request: pytest.FixtureRequest) -> str:
    """Who is made of dots in both photos; no one in the odd ones."""
    body = Person(
        box=tuple(BOX), box_score=0.9, score=2.0, layout="coco17",
        keypoints=np.column_stack([JOINTS, np.full(17, 0.8)]),
    )  # fmt: skip
    lines = []
    for image in (dots(), crowd(), *(np.zeros(shape, np.uint8) for shape in ODD_SHAPES)):
        people = (body,) if len(image) == 300 else ()
        result = FrameResult(
            source="photo.png", width=image.shape[1], height=image.shape[0],
            image_only=not people, people=people, timings_ms={},
            model=model_name("alphapose", pixel_hash(image)),
        )  # fmt: skip
        lines.append(result.to_json())
    (folder / "cache.jsonl").write_text("\n".join(lines), "utf-8")
    return f"precomputed:{folder / 'cache.jsonl'}"


def tiny_rtmpose(folder: Path, request: pytest.FixtureRequest) -> str:
    pytest.importorskip("rtmlib", reason="needs the extra rtmpose", exc_type=ImportError)
    make_rtmpose(folder / "rtmpose.onnx")
    return f"rtmpose:{folder / 'rtmpose.onnx'}"


def weights_file(request: pytest.FixtureRequest, name: str) -> Path:
    path = Path(request.getfixturevalue("shared_dir")) / "weights" / name
    if not path.is_file():
        pytest.skip(f"no {name} in {path.parent}")
    return path


FILES: dict[str, Make] = {
    "alphapose": tiny_alphapose,
    "mediapipe": real_mediapipe,
    "movenet": tiny_movenet,
    "movenet (Thunder)": real_movenet,
    "precomputed": small_cache,
    "rtmpose": tiny_rtmpose,
}
NAMES = [name for name in pose.names() if name not in pose.BACKENDS]


def load(
    name: str, request: pytest.FixtureRequest, factory: pytest.TempPathFactory, **options: int
) -> PoseEstimator:
    if name == TINY:
        asked = str(request.getfixturevalue("tiny"))
    else:
        asked = FILES[name](factory.mktemp("files"), request) if name in FILES else name
    return pose.load(asked, **{"threads": 1, **options})


@pytest.fixture(scope="module", name="crowd")
def crowd_photo() -> np.ndarray:
    return crowd()


@pytest.fixture(scope="module", params=[TINY, *NAMES, *FILES])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PoseEstimator:
    return load(request.param, request, tmp_path_factory)


def test_every_backend_is_held_to_this() -> None:
    assert set(pose.BACKENDS) <= set(FILES)


BOXES = np.array(
    [
        BOX,
        PERSON,
        [60, 20, 180, 150],
        [-500, -500, -400, -300],  # outside the photo
        [480, 290, 900, 900],  # mostly outside
        [100, 100, 100.5, 100.2],  # tiny
        [10, 10, 10, 10],  # a point
        [0, 0, 500, 300],
    ]
)
CLEAR = 0.05
"""A joint's score. On a blank map the strongest cell is a matter of rounding."""


def test_someone_is_seen(backend: PoseEstimator, crowd: np.ndarray) -> None:
    """Or what follows would compare nothing with nothing."""
    found = backend(crowd, BOXES[:2])
    assert max((person[:, 2] > 4 * CLEAR).mean() for person in found) == 1


def test_form(backend: PoseEstimator, crowd: np.ndarray) -> None:
    assert isinstance(backend, PoseEstimator)
    found = backend(crowd, BOXES)
    assert found.shape == (len(BOXES), len(get_layout(backend.layout)), 3)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert (found[..., 2] >= 0).all() and (found[..., 2] <= 1).all()
    assert backend.name and backend.layout


def test_no_boxes(backend: PoseEstimator, crowd: np.ndarray) -> None:
    joints = len(get_layout(backend.layout))
    for none in (np.zeros((0, 4), np.float32), []):
        assert backend(crowd, none).shape == (0, joints, 3)


def test_deterministic_and_input_untouched(backend: PoseEstimator, crowd: np.ndarray) -> None:
    before, boxes = crowd.copy(), BOXES.copy()
    np.testing.assert_array_equal(backend(crowd, BOXES), backend(crowd, BOXES))
    np.testing.assert_array_equal(crowd, before)
    np.testing.assert_array_equal(boxes, BOXES)


def test_batch_equals_single(backend: PoseEstimator, crowd: np.ndarray) -> None:
    boxes = np.concatenate([BOXES] * 3)
    assert len(boxes) > 2 * BATCH
    together = backend(crowd, boxes)
    alone = np.concatenate([backend(crowd, box[None]) for box in BOXES] * 3)
    sure = alone[..., 2] > CLEAR
    np.testing.assert_allclose(together[..., 2], alone[..., 2], atol=1e-3)
    np.testing.assert_allclose(together[sure], alone[sure], atol=0.05)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_odd_photos(backend: PoseEstimator, shape: tuple[int, ...]) -> None:
    found = backend(np.zeros(shape, np.uint8), [[0, 0, shape[1], shape[0]]])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("boxes", [[[0, 0, np.nan, 9]], [[0, 0, np.inf, 9]], [[1, 2, 3]], [1, 2]])
def test_what_is_no_box_is_refused(
    backend: PoseEstimator, photo: np.ndarray, boxes: list[object]
) -> None:
    if backend.name == "precomputed":
        pytest.skip("it looks boxes up and crops nothing")
    with pytest.raises(ValueError, match="boxes must be finite and of shape"):
        backend(photo, boxes)


@pytest.mark.parametrize("name", [TINY, *NAMES, *FILES])
def test_the_number_of_threads_changes_nothing(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    crowd: np.ndarray,
) -> None:
    one, two = (load(name, request, tmp_path_factory, threads=n)(crowd, BOXES[:2]) for n in (1, 2))
    sure = one[..., 2] > CLEAR
    np.testing.assert_allclose(two[..., 2], one[..., 2], atol=1e-3)
    np.testing.assert_allclose(two[sure], one[sure], atol=1e-3)


@pytest.mark.parametrize("name", ["alphapose", "mediapipe", "movenet", "rtmpose"])
def test_flip_test_keeps_the_form(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    crowd: np.ndarray,
) -> None:
    estimate = load(name, request, tmp_path_factory, flip_test=True)
    found = estimate(crowd, BOXES)
    assert found.shape == (len(BOXES), len(get_layout(estimate.layout)), 3)
    assert np.isfinite(found).all() and (found[..., 2] >= 0).all() and (found[..., 2] <= 1).all()


@pytest.mark.parametrize("name", [*NAMES, "mediapipe", "movenet (Thunder)"])
def test_the_drawn_person_is_found_where_it_was_drawn(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    crowd: np.ndarray,
) -> None:
    estimate = load(name, request, tmp_path_factory)
    found = convert(estimate(crowd, [PERSON]), estimate.layout, "coco17")[0]
    truth = drawn.placed(drawn.joints_of("jumping jack", 0.5), 370, 160, 120)
    limbs = slice(5, 17)  # what a drawing's face is, networks may see differently
    assert np.linalg.norm(found[limbs, :2] - truth[limbs], axis=1).mean() < 12


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("name", ["movenet", "rtmpose"])
def test_dots_are_found_by_networks_that_give_coordinates(
    name: str,
    flip_test: bool,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    photo: np.ndarray,
) -> None:
    estimate = load(name, request, tmp_path_factory, flip_test=flip_test)
    pixel = 245 * 1.25 / {"movenet": 192, "rtmpose": 256}[name]  # one of the crop's
    found = estimate(photo, [BOX])[0]
    assert np.abs(found[:, :2] - JOINTS).max() < 1.5 * pixel
    assert np.abs((found[:, :2] - JOINTS).mean(0)).max() < 0.6 * pixel
    assert (found[:, 2] > 0.3).all()
    mirrored_box = [239 - BOX[2], BOX[1], 239 - BOX[0], BOX[3]]
    mirrored = estimate(np.ascontiguousarray(photo[:, ::-1]), [mirrored_box])[0][FLIP]
    mirrored[:, 0] = 239 - mirrored[:, 0]
    np.testing.assert_allclose(mirrored[:, :2], found[:, :2], atol=1.2 * pixel)


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


def test_a_checkpoint_is_told_how_to_become_a_network(tmp_path: Path) -> None:
    (tmp_path / "r50.pth").write_bytes(b"")
    for asked in (tmp_path / "r50.pth", f"alphapose:{tmp_path / 'r50.pth'}"):
        with pytest.raises(WeightsError, match=r"keyact alphapose convert .*r50\.pth"):
            pose.load(asked)


def test_a_network_of_others_is_not_taken_for_alphapose(tiny: Path) -> None:
    with pytest.raises(WeightsError, match=r"tiny\.onnx: .*not one of AlphaPose's; give the file"):
        pose.load(f"alphapose:{tiny}")


def test_unknown_names(tiny: Path) -> None:
    with pytest.raises(UnknownNameError, match="pose backend"):
        pose.load("fastpos")
    with pytest.raises(UnknownNameError, match="did you mean 'dark'"):
        pose.load(tiny, decode="drak")


@pytest.mark.parametrize("name", ["mediapipe", "movenet"])
def test_networks_that_decode_themselves_take_no_method(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asked = FILES[name](tmp_path_factory.mktemp("files"), request)
    with pytest.raises(UnknownNameError, match=f"decode method of {name} 'dark'"):
        pose.load(asked, decode="dark")


@pytest.mark.parametrize("name", sorted(set(pose.BACKENDS) - {"rtmpose"}))
def test_a_backend_without_its_file_says_what_to_type(name: str) -> None:
    with pytest.raises(KeyactError, match=f"{name}:") as caught:
        pose.load(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "suffix", "package"),
    [
        ("mediapipe", ".task", "mediapipe"),
        ("movenet", ".tflite", "ai_edge_litert"),
        ("rtmpose", ".onnx", "rtmlib"),
    ],
)
def test_a_missing_package_says_what_to_install(
    name: str, suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [key for key in sys.modules if key.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"net{suffix}").write_bytes(b"whatever")
    with pytest.raises(KeyactError, match=rf"pip install 'keyact\[{name}\]'") as caught:
        pose.load(f"{name}:{tmp_path / f'net{suffix}'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "package"),
    [
        ("alphapose:{}.onnx", None),
        ("mediapipe:{}.task", "mediapipe"),
        ("movenet:{}.onnx", None),
        ("movenet:{}.tflite", "ai_edge_litert"),
        ("precomputed:{}.jsonl", None),
        ("rtmpose:{}.onnx", "rtmlib"),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"PK not a network \x00" * 99])
def test_bad_files_are_one_line(
    asked: str, package: str | None, content: bytes | None, tmp_path: Path
) -> None:
    if package:
        pytest.importorskip(package, exc_type=ImportError)
    asked = asked.format(tmp_path / "bad")
    if content is not None:
        Path(asked.partition(":")[2]).write_bytes(content)
    with pytest.raises((WeightsError, InputError), match="bad") as caught:
        pose.load(asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "make", "message"),
    [
        ("movenet", lambda path: make_movenet(path, people=6), "multi-pose"),
        ("movenet", lambda path: make_movenet(path, size=16), "not MoveNet's"),
        ("movenet", make_rtmpose, "one input and one output"),
        ("movenet", make_pose, "one input and one output"),
        ("rtmpose", make_movenet, "RTMPose has one input"),
        ("rtmpose", lambda path: make_rtmpose(path, joints=21), "21 joints"),
        ("rtmpose", lambda path: make_rtmpose(path, bins=3), "SimCC"),
    ],
)
def test_networks_of_another_signature_are_refused(
    asked: str, make: Callable[[Path], object], message: str, tmp_path: Path, photo: np.ndarray
) -> None:
    if asked == "rtmpose":
        pytest.importorskip("rtmlib", exc_type=ImportError)
    make(tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match=message) as caught:
        pose.load(f"{asked}:{tmp_path / 'other.onnx'}")(photo, [BOX])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("joints", "layout"), [(17, "coco17"), (26, "halpe26"), (133, "coco133"), (136, "halpe136")]
)
def test_rtmpose_knows_the_layout_by_the_number_of_joints(
    joints: int, layout: str, tmp_path: Path, photo: np.ndarray
) -> None:
    pytest.importorskip("rtmlib", reason="needs the extra rtmpose", exc_type=ImportError)
    make_rtmpose(tmp_path / "r.onnx", joints=joints)
    estimate = pose.load(f"rtmpose:{tmp_path / 'r.onnx'}")
    assert estimate.layout == layout
    assert estimate(photo, [BOX]).shape == (1, joints, 3)


def test_rtmlib_names_its_networks(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("rtmlib", reason="needs the extra rtmpose", exc_type=ImportError)
    with pytest.raises(UnknownNameError, match="did you mean 'lightweight'"):
        pose.load("rtmpose:lightwight")
    make_rtmpose(tmp_path / "r.onnx")
    pose.load(f"rtmpose:{tmp_path / 'r.onnx'}")
    assert capfd.readouterr().out == ""  # results may go to stdout
