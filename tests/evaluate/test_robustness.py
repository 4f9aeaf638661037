from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keyact import action, detect, pose
from keyact.data import Dataset, Sample
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.evaluate import robustness
from keyact.evaluate.robustness import measure_robustness
from keyact.evaluate.robustness_report import Condition, Robustness, save_robustness
from keyact.formats.cache import model_name, pixel_hash
from keyact.media.image import load_image
from keyact.results import FrameResult, Person

TINY = {"detector": "tiny-detector", "pose": "tiny-pose", "jobs": 1}
ALL_BUT_CORRUPTIONS = (
    "occlusion", "joint_jitter", "joint_dropout", "left_right_swap", "wrong_person",
)  # fmt: skip


class Counting:
    """The tiny action model, counting; after ``stop`` calls it is switched off."""

    def __init__(self, stop: int | None = None) -> None:
        self._model = action.load("tiny-action")
        self.name, self.labels = "counting", self._model.labels
        self.unknown_threshold = 0.0
        self.calls = 0
        self.stop = stop
        self.scores: list[float] = []

    def __call__(self, image: Any, boxes: Any, keypoints: Any) -> Any:
        if self.calls == self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        self.scores += np.asarray(keypoints)[..., 2].ravel().tolist()
        return self._model(image, boxes, keypoints)


def measure(model: Any, dataset: Dataset, folder: Path, **options: Any) -> Robustness:
    return measure_robustness(model, dataset, folder, **{**TINY, **options})


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, photos: Any) -> None:
    options: dict[str, Any] = {
        "perturbations": ("joint_jitter", "wrong_person"),
        "severities": (5, 1),
    }
    whole = measure(Counting(), photos.dataset, tmp_path / "whole", **options)
    rows = len(photos.dataset)
    with pytest.raises(KeyboardInterrupt):
        measure(Counting(stop=2 * rows + 3), photos.dataset, tmp_path / "part", **options)
    rest = Counting()
    assert measure(rest, photos.dataset, tmp_path / "part", **options) == whole
    assert rest.calls == 3 * rows  # clean and the first condition were kept
    again = Counting(stop=0)
    assert measure(again, photos.dataset, tmp_path / "part", **options) == whole


def test_other_settings_are_measured_anew(tmp_path: Path, photos: Any) -> None:
    options: dict[str, Any] = {"perturbations": ("occlusion",), "severities": (1,)}
    measure(Counting(), photos.dataset, tmp_path, **options)
    for change in ({"seed": 1}, {"keep_keypoints": True}, {"size": 64}):
        model = Counting()
        measure(model, photos.dataset, tmp_path, **{**options, **change})
        assert model.calls == 2 * len(photos.dataset), change


def test_every_family_is_measured(tmp_path: Path, photos: Any) -> None:
    found = measure("tiny-action", photos.dataset, tmp_path, perturbations=ALL_BUT_CORRUPTIONS,
                    severities=(1, 5))  # fmt: skip
    assert [row.perturbation for row in found.conditions[::2]] == list(ALL_BUT_CORRUPTIONS)
    assert {row.severity for row in found.conditions} == {1, 5}
    assert found.clean.top1 == pytest.approx(12 / 13, abs=1e-4)
    assert found.accuracy("corruption") is None
    occluded = [row.top1 for row in found.conditions if row.family == "occlusion"]
    assert found.accuracy("occlusion") == pytest.approx(np.mean(occluded))


def test_dropped_joints_reach_the_model_as_not_seen(tmp_path: Path, photos: Any) -> None:
    model = Counting()
    measure(model, photos.dataset, tmp_path, perturbations=("joint_dropout",), severities=(5,))
    half = len(model.scores) // 2
    assert max(model.scores[:half]) > 0
    assert max(model.scores[half:]) == 0


@pytest.mark.parametrize("keep", [False, True])
def test_people_are_found_anew_unless_kept(
    tmp_path: Path, photos: Any, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    """A corruption that paints the photo grey leaves nobody to find."""
    monkeypatch.setattr(robustness, "corruption_library", lambda: None)
    monkeypatch.setattr(
        robustness, "corrupt", lambda image, name, severity, seed: np.full_like(image, 127)
    )
    found = measure(
        "tiny-action", photos.dataset, tmp_path, perturbations=("fog",), severities=(3,),
        keep_keypoints=keep,
    )  # fmt: skip
    (row,) = found.conditions
    assert found.clean.photos_with_person == pytest.approx(4 / 13, abs=1e-4)
    assert row.photos_with_person == pytest.approx(4 / 13 if keep else 0, abs=1e-4)


def test_people_of_a_cache_are_asked_for_by_the_unscaled_photo(tmp_path: Path, photos: Any) -> None:
    find, place = detect.load("tiny-detector", 1), pose.load("tiny-pose", 1)
    lines = []
    for sample in photos.dataset.samples:
        image = load_image(sample.path)
        boxes, scores = find(image)
        people = [
            Person(
                box=tuple(box.tolist()), box_score=score, score=1, layout="coco17", keypoints=points
            )
            for box, score, points in zip(boxes, scores, place(image, boxes), strict=True)
        ]
        height, width = image.shape[:2]
        lines.append(
            FrameResult(
                source=str(sample.path), width=width, height=height, image_only=not people,
                people=tuple(people), timings_ms={}, model=model_name("coco", pixel_hash(image)),
            ).to_json()
        )  # fmt: skip
    (tmp_path / "c.jsonl").write_text("\n".join(lines), "utf-8")
    cached = f"precomputed:{tmp_path / 'c.jsonl'}"

    class Watching(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.boxes: list[list[float]] = []

        def __call__(self, image: Any, boxes: Any, keypoints: Any) -> Any:
            inside = np.append(image.shape[1::-1], image.shape[1::-1])
            self.boxes += (np.asarray(boxes) / inside).tolist()
            return super().__call__(image, boxes, keypoints)

    seen = {}
    for size in (None, 48):  # the photos' shorter side is longer
        model = Watching()
        found = measure(
            model, photos.dataset, tmp_path / str(size), perturbations=("left_right_swap",),
            severities=(1,), detector=cached, pose=cached, size=size,
        )  # fmt: skip
        assert found.clean.photos_with_person == pytest.approx(4 / 13, abs=1e-4)
        seen[size] = np.array(model.boxes)
    np.testing.assert_allclose(seen[48], seen[None], atol=1e-6)
    options: dict[str, Any] = {
        "perturbations": ("occlusion",), "severities": (1,), "detector": cached, "pose": cached,
    }  # fmt: skip
    with pytest.raises(KeyactError, match=r"c\.jsonl: knows .* --keep-keypoints"):
        measure("tiny-action", photos.dataset, tmp_path, **options)
    kept = measure("tiny-action", photos.dataset, tmp_path, **options, keep_keypoints=True)
    assert kept.conditions[0].photos_with_person == pytest.approx(4 / 13, abs=1e-4)


def test_corruptions_lower_the_accuracy(tmp_path: Path, photos: Any) -> None:
    pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
    found = measure(
        "tiny-action",
        photos.dataset,
        tmp_path,
        perturbations=("contrast", "fog"),
        severities=(1, 5),
    )  # fmt: skip
    for name in ("contrast", "fog"):
        mild, strong = (row for row in found.conditions if row.perturbation == name)
        assert strong.confidence < mild.confidence < found.clean.confidence + 0.01
    assert found.relative() == pytest.approx((found.accuracy() or 0) / found.clean.top1)


def test_a_broken_photo_is_told_once(tmp_path: Path, photos: Any) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no photo")
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.zeros((20, 20, 3), np.uint8))
    samples = (*photos.dataset.samples, Sample(broken, "red"), Sample(small, "red"))
    told: list[str] = []
    found = measure(
        "tiny-action", replace(photos.dataset, samples=samples), tmp_path / "out",
        perturbations=ALL_BUT_CORRUPTIONS[:2], severities=(1,),
        on_error=lambda source, error: told.append(Path(source).name),
    )  # fmt: skip
    assert told == ["broken.png", "small.png"]
    assert found.clean.photos == len(photos.dataset)


def test_wrong_names_are_told_before_the_work(tmp_path: Path, photos: Any) -> None:
    with pytest.raises(UnknownNameError, match="'fog'"):
        measure("tiny-action", photos.dataset, tmp_path, perturbations=("frog",))
    with pytest.raises(KeyactError, match="1 to 5"):
        measure("tiny-action", photos.dataset, tmp_path, severities=(0,))
    assert not list(tmp_path.rglob("*.npz"))


def of(name: str, clean: float, errors: dict[str, list[float]]) -> Robustness:
    def row(perturbation: str, family: Any, severity: int, top1: float) -> Condition:
        return Condition(
            perturbation=perturbation, family=family, severity=severity, photos=100, top1=top1,
            ece=0.1, confidence=0.8, photos_with_person=1.0,
        )  # fmt: skip

    return Robustness(
        model=name, dataset="made", keep_keypoints=False, size=224, seed=0,
        clean=row("clean", "clean", 0, clean),
        conditions=tuple(
            row(kind, "keypoints" if "joint" in kind else "corruption", severity, 1 - error)
            for kind, values in errors.items()
            for severity, error in enumerate(values, 1)
        ),
    )  # fmt: skip


ONE = of("one", 0.9, {"fog": [0.1, 0.2], "snow": [0.3, 0.5], "joint_jitter": [0.2, 0.2]})
BASE = of("base", 0.8, {"fog": [0.2, 0.4], "snow": [0.4, 0.4], "joint_jitter": [0.9, 0.9]})


def test_corruption_error_is_the_mean_of_ratios() -> None:
    assert ONE.corruption_error(BASE) == pytest.approx((0.3 / 0.6 + 0.8 / 0.8) / 2)
    assert ONE.corruption_error(ONE) == pytest.approx(1)
    assert ONE.accuracy() == pytest.approx(1 - (0.1 + 0.2 + 0.3 + 0.5) / 4)
    assert ONE.relative() == pytest.approx((1 - 1.1 / 4) / 0.9)
    assert ONE.accuracy("keypoints") == pytest.approx(0.8)
    with pytest.raises(KeyactError, match="same corruptions"):
        ONE.corruption_error(of("other", 0.9, {"fog": [0.1, 0.2]}))


def test_it_is_written_and_read_back(tmp_path: Path) -> None:
    save_robustness(tmp_path, ONE)
    assert Robustness.load(tmp_path / "robustness.json") == ONE
    data = json.loads((tmp_path / "robustness.json").read_text("utf-8"))
    assert data["summary"]["corruption_accuracy"] == pytest.approx(0.725)
    lines = (tmp_path / "robustness.csv").read_text("utf-8").splitlines()
    assert len(lines) == 1 + 1 + 6
    assert cv2.imread(str(tmp_path / "robustness.png")).std() > 5


@pytest.mark.parametrize("text", [None, "[]", "{}", "no"])
def test_files_that_are_no_result_are_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "robustness.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"robustness\.json") as caught:
        Robustness.load(path)
    assert "\n" not in str(caught.value)
