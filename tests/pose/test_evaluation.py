"""Scores of pose backends: OKS, PCK and COCO's average precision on data that is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from keyact import pose
from keyact.errors import InputError
from keyact.layouts import convert, get_layout
from keyact.pose.annotations import AREA_OF_BOX, AnnotatedPhoto, read_photos
from keyact.pose.evaluation import SIGMAS, evaluate, similarity

JOINTS = get_layout("coco17").joints
TRUTH = np.column_stack([np.linspace(20, 80, 17), np.linspace(15, 105, 17), np.full(17, 2.0)])
BOX = [10.0, 10.0, 80.0, 100.0]  # x, y, width, height
AREA = 4000.0


def annotation(image: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": BOX, "area": AREA,
        "keypoints": TRUTH.reshape(-1).tolist(), **changes,
    }  # fmt: skip


def moved(by: float) -> dict[str, Any]:
    """A second person to the right."""
    points = TRUTH + np.array([by, 0, 0])
    return annotation(keypoints=points.reshape(-1).tolist(), bbox=[BOX[0] + by, *BOX[1:]])


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., list[AnnotatedPhoto]]:
    def build(*people: dict[str, Any], report: Any = None) -> list[AnnotatedPhoto]:
        for number in (1, 2):
            image = np.full((120, 300, 3), 40 * number, np.uint8)
            cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        images = [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]
        path = tmp_path / "coco.json"
        path.write_text(json.dumps({"images": images, "annotations": people}), "utf-8")
        return read_photos(path, tmp_path, report or pytest.fail)

    return build


class Fixed:
    """Gives each box the same pose, moved with the box."""

    name = "fixed"

    def __init__(
        self, points: np.ndarray = TRUTH, layout: str = "coco17", missing: tuple[int, ...] = ()
    ) -> None:
        self.layout = layout
        self._points = points.astype(np.float32).copy()
        self._points[:, 2] = 0.9
        self._points[list(missing), 2] = 0

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        shift = np.asarray(boxes, np.float32).reshape(-1, 4)[:, :1] - BOX[0]
        found = np.repeat(self._points[None], len(shift), 0)
        found[..., 0] += shift
        return found


class Boxes:
    name = "boxes"

    def __init__(self, *boxes: tuple[float, ...]) -> None:
        self._rows = np.array(boxes, np.float32).reshape(-1, 5)

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._rows[:, :4], self._rows[:, 4]


def corners(by: float = 0) -> tuple[float, ...]:
    return BOX[0] + by, BOX[1], BOX[0] + BOX[2] + by, BOX[1] + BOX[3]


def test_a_perfect_pose(make: Any) -> None:
    report = evaluate(Fixed(), make(annotation(), moved(100), annotation(2)))
    assert (report.photos, report.people, report.found) == (2, 3, 3)
    assert (report.ap, report.ap50, report.ap75, report.ar, report.oks) == pytest.approx((1,) * 5)
    assert report.pck == {0.1: 1.0, 0.2: 1.0}
    assert set(report.joint_oks.values()) == set(report.joint_pck.values()) == {1.0}
    assert report.detector == "true boxes" and report.pose == "fixed"
    assert report.ms_per_person is not None and report.ms_per_detection is None


def test_oks_is_cocos(make: Any) -> None:
    """One joint off by a distance: the formula of cocoeval.py, and its own AP at thresholds."""
    wrong = TRUTH.copy()
    wrong[9, 0] += 15  # left wrist
    report = evaluate(Fixed(wrong), make(annotation()))
    expected = np.exp(-(15**2) / (2 * AREA * (2 * 0.062) ** 2))
    assert report.joint_oks["left_wrist"] == pytest.approx(expected)
    assert report.oks == pytest.approx((16 + expected) / 17)
    assert report.joint_pck["left_wrist"] == 0  # 15 px of a box of 100
    assert report.pck[0.1] == pytest.approx(16 / 17) and report.pck[0.2] == 1
    everywhere = TRUTH + np.array([9, 0, 0])
    report = evaluate(Fixed(everywhere), make(annotation()))
    reached = np.exp(-81 / (2 * AREA * (2 * SIGMAS) ** 2)).mean()
    assert report.oks == pytest.approx(reached)
    thresholds = np.linspace(0.5, 0.95, 10)
    assert report.ap == pytest.approx((reached >= thresholds).mean())


def test_joints_that_are_not_labelled_do_not_count(make: Any) -> None:
    points = TRUTH.copy()
    points[:9, 2] = 0
    points[9, 2] = 1  # labelled but hidden: counts
    wrong = TRUTH.copy()
    wrong[:9, :2] += 500
    person = annotation(keypoints=points.reshape(-1).tolist())
    report = evaluate(Fixed(wrong), make(person))
    assert report.oks == 1 and report.pck[0.1] == 1 and report.ap == pytest.approx(1)
    assert report.joint_oks["nose"] is None and report.joint_oks["left_wrist"] == 1


def test_what_a_layout_lacks_is_missed(make: Any) -> None:
    sparse = convert(TRUTH[None] * [1, 1, 0.4], "coco17", "penn13")[0]
    report = evaluate(Fixed(sparse, "penn13"), make(annotation()))
    assert report.joint_oks["left_eye"] == 0 and report.joint_pck["left_eye"] == 0
    assert report.joint_oks["left_knee"] == pytest.approx(1)
    missed = evaluate(Fixed(missing=(0,)), make(annotation()))
    assert missed.joint_oks["nose"] == 0 and missed.oks == pytest.approx(16 / 17)


def test_a_detector_is_judged_with_the_pose(make: Any) -> None:
    photos = make(annotation(), moved(100))
    both = Boxes((*corners(), 0.9), (*corners(100), 0.8))
    report = evaluate(Fixed(), photos, both)
    assert (report.found, report.oks, report.detector) == (2, pytest.approx(1), "boxes")
    one = evaluate(Fixed(), photos, Boxes((*corners(100), 0.8)))
    assert (one.found, one.oks, one.pck[0.2]) == (1, pytest.approx(0.5), 0.5)
    assert one.ar == pytest.approx(0.5)
    twice = evaluate(Fixed(), photos, Boxes((*corners(), 0.9), (*corners(), 0.8)))
    assert twice.found == 1  # pose NMS: one pose is not two people
    nobody = evaluate(Fixed(), photos, Boxes())
    assert (nobody.found, nobody.oks, nobody.ap, nobody.ms_per_person) == (0, 0, 0, None)


def test_each_pose_is_one_persons(make: Any) -> None:
    """Two people close to each other and one pose: the other person is not found."""
    report = evaluate(Fixed(), make(annotation(), moved(2)), Boxes((*corners(), 0.9)))
    assert report.found == 1 and report.oks == pytest.approx(0.5)


def test_people_whom_a_backend_does_not_see(make: Any) -> None:
    report = evaluate(Fixed(missing=tuple(range(17))), make(annotation()))
    assert (report.found, report.oks, report.ap, report.pck[0.2]) == (0, 0, 0, 0)


def test_crowds_and_people_without_joints_are_ignored_as_coco_does(make: Any) -> None:
    crowd = annotation(iscrowd=1, bbox=[100, 0, 100, 100])
    bare = annotation(keypoints=[0] * 51, bbox=[200, 0, 50, 50])
    photos = make(annotation(), crowd, bare)
    assert [len(photo.boxes) for photo in photos] == [1, 0]
    assert len(photos[0].entries) == 3
    report = evaluate(Fixed(), photos, Boxes((*corners(), 0.9)))
    assert (report.people, report.ap) == (1, pytest.approx(1))


def test_areas_may_be_missing(make: Any) -> None:
    person = annotation()
    del person["area"]
    assert make(person)[0].areas.tolist() == pytest.approx([AREA_OF_BOX * 80 * 100])


def test_photos_that_cannot_be_used_are_left_out_for_everyone(make: Any, tmp_path: Path) -> None:
    photos = make(annotation(), annotation(2))
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:-40])
    told: dict[AnnotatedPhoto, InputError] = {}
    report = evaluate(Fixed(), photos, on_photo_error=told.__setitem__)
    assert (report.photos, report.people, report.ap) == (1, 1, pytest.approx(1))
    assert list(told) == [photos[1]] and "2.png: the photo is damaged" in str(told[photos[1]])
    with pytest.raises(InputError, match="damaged"):
        evaluate(Fixed(), photos)

    class Refuses(Boxes):
        def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            raise InputError("no boxes of this photo")

    told.clear()
    report = evaluate(Fixed(), photos[:1], Refuses(), on_photo_error=told.__setitem__)
    assert report.photos == 0 and list(told) == photos[:1]


@pytest.mark.parametrize(
    ("annotated", "orientation", "complaint"),
    [
        ((300, 120), 1, None),
        (None, 6, None),
        ((120, 300), 6, None),  # as photo programs show it
        ((300, 120), 3, None),  # upside down: sizes cannot tell
        ((300, 120), 6, "is 120 x 300 pixels, but was annotated at 300 x 120, before its EXIF"),
        ((120, 300), 1, "is 300 x 120 pixels, but was annotated at 120 x 300: give the photo"),
        ((600, 240), 1, "is 300 x 120 pixels, but was annotated at 600 x 240: give the photo"),
    ],
)
def test_a_photo_has_the_size_that_was_annotated(
    make: Any, tmp_path: Path, annotated: Any, orientation: int, complaint: str | None
) -> None:
    (photo, _) = make(annotation())
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(photo.path).save(tmp_path / "turned.jpg", exif=exif)
    photo = replace(photo, path=tmp_path / "turned.jpg", size=annotated)
    if complaint is None:
        assert evaluate(Fixed(), [photo]).photos == 1
    else:
        with pytest.raises(InputError, match=f"turned.jpg: {complaint}"):
            evaluate(Fixed(), [photo])


def test_rows_are_flat_and_alike(make: Any) -> None:
    photos = make(annotation())
    rows = [evaluate(Fixed(), photos).row(), evaluate(Fixed(), photos, Boxes()).row()]
    assert list(rows[0]) == list(rows[1])
    assert {"pose", "ap", "oks", "pck@0.1", "ms_per_person", "oks_nose", "pck@0.1_nose"} <= set(
        rows[0]
    )
    assert len(rows[0]) == 14 + 2 * len(JOINTS)
    json.dumps(rows)


def test_similarity_of_a_distance() -> None:
    found = TRUTH[None, :, :2] + [3.0, 4.0]
    np.testing.assert_allclose(
        similarity(found, TRUTH[None], np.array([AREA]))[0],
        np.exp(-25 / (2 * AREA * (2 * SIGMAS) ** 2)),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1, 2]}, "annotation 0: keypoints has 2 numbers"),
        ({"keypoints": [1.0, 2, 2] * 26}, "26 joints, but backends are compared in COCO's 17"),
        ({"keypoints": [1.0, 2, 3] * 17}, "0, 1 or 2"),
        ({"bbox": None}, "annotation 0: bbox"),
        ({"area": "large"}, "annotation 0: area"),
        ({"image_id": None}, "annotation 0: image_id"),
        ({"keypoints": [0] * 51}, "has a person with key points"),
        ({"category_id": 2}, "no annotation has category_id 1"),
    ],
    ids=str,
)
def test_wrong_annotations_are_named(make: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make(annotation(**change))
    assert "coco.json" in str(caught.value) and "\n" not in str(caught.value)


def test_photos_that_are_not_there_are_reported(make: Any, tmp_path: Path) -> None:
    missing: list[str] = []
    make(annotation())
    (tmp_path / "2.png").unlink()
    assert len(read_photos(tmp_path / "coco.json", tmp_path, missing.append)) == 1
    assert len(missing) == 1 and "'2.png': no such photo" in missing[0]


@pytest.mark.parametrize("text", ["[]", '{"annotations": []}', "{", ""])
def test_what_is_no_annotation_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(InputError, match=r"coco\.json"):
        read_photos(tmp_path / "coco.json", tmp_path, pytest.fail)


@pytest.mark.parametrize(
    ("name", "package", "weights", "least"),
    [
        ("fastpose-m", None, None, 0.60),
        ("movenet", "ai_edge_litert", "movenet_thunder_fp16.tflite", 0.82),
        ("mediapipe", "mediapipe", "mediapipe_pose_landmarker_full.task", 0.60),
    ],
)
def test_real_networks_on_real_people(
    name: str, package: str | None, weights: str | None, least: float, shared_dir: Path,
    photos_dir: Path,
) -> None:  # fmt: skip
    if package is not None:
        pytest.importorskip(package, reason=f"needs the extra {name}", exc_type=ImportError)
        path = shared_dir / "weights" / str(weights)
        if not path.is_file():
            pytest.skip(f"no {path}")
        name = f"{name}:{path}"
    photos = read_photos(photos_dir / "test_coco.json", photos_dir, pytest.fail)
    report = evaluate(pose.load(name, threads=1), photos)
    assert (report.photos, report.people) == (4, 12)
    assert report.oks >= least, report
