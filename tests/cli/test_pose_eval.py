from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyact.pose.mediapipe import MediaPipe

Invoke = Callable[..., Any]

WHERE = ("--ann", "coco.json", "--images", "photos")


@pytest.fixture
def annotated(photo: Path, tmp_path: Path) -> Path:
    """photos/one.png with one person, and coco.json."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_bytes(photo.read_bytes())
    points = np.column_stack([np.linspace(42, 88, 17), np.linspace(22, 78, 17), np.full(17, 2)])
    person = {
        "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [40, 20, 50, 60], "area": 1600,
        "keypoints": points.reshape(-1).tolist(),
    }  # fmt: skip
    table = {"images": [{"id": 7, "file_name": "one.png"}], "annotations": [person]}
    (tmp_path / "coco.json").write_text(json.dumps(table), "utf-8")
    return tmp_path


def test_backends_side_by_side(invoke: Invoke, annotated: Path) -> None:
    done = invoke(
        "pose-eval", *WHERE, "--pose", "tiny-pose", "--pose", "fastpose-m", "--threads", 1,
        "--json", "out/r.json", "--csv", "r.csv", "--runs", 2,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    rows = json.loads((annotated / "out" / "r.json").read_text("utf-8"))
    assert [row["pose"] for row in rows] == ["tiny-pose", "fastpose-m"]
    assert {row["detector"] for row in rows} == {"true boxes"}
    for row in rows:
        assert (row["photos"], row["people"], row["threads"]) == (1, 1, 1)
        assert 0 <= row["oks"] <= 1 and row["ms_per_person"] > 0
    with (annotated / "r.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [list(row) for row in table] == [list(row) for row in rows]
    assert float(table[1]["oks"]) == rows[1]["oks"]
    assert "1 people in 1 photos, true boxes" in done.stdout
    assert "left_ankle" in done.stdout
    lines = done.stdout.splitlines()
    assert lines[1].split()[-1] == "ms" and max(map(len, lines)) <= 80  # of a plain terminal
    assert float(lines[2].split()[-1]) == pytest.approx(rows[0]["ms_per_person"], abs=0.06)
    assert not list(annotated.rglob("*.part"))


def test_with_a_detector(invoke: Invoke, annotated: Path) -> None:
    done = invoke(
        "pose-eval", *WHERE, "--pose", "tiny-pose", "--detector", "tiny-detector", "--json", "-"
    )
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["detector"] == "tiny-detector" and row["ms_per_detection"] is None  # one photo
    assert "tiny-detector" in done.stderr  # the table has moved there


def test_what_cannot_be_loaded_is_reported_and_the_rest_judged(
    invoke: Invoke, annotated: Path
) -> None:
    (annotated / "bad.onnx").write_bytes(b"no network")
    done = invoke(
        "pose-eval", *WHERE, "--pose", "movenet:bad.onnx", "--pose", "tiny-pose", "--json", "r.json"
    )
    assert done.exit_code == 1
    assert [row["pose"] for row in json.loads((annotated / "r.json").read_text())] == ["tiny-pose"]
    assert "keyact: movenet:bad.onnx: bad.onnx: " in done.stderr


def test_missing_photos_are_named(invoke: Invoke, annotated: Path) -> None:
    table = json.loads((annotated / "coco.json").read_text())
    table["images"].append({"id": 8, "file_name": "gone.png"})
    (annotated / "coco.json").write_text(json.dumps(table))
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose")
    assert done.exit_code == 1
    assert "'gone.png': no such photo in photos" in done.stderr
    assert "1 people in 1 photos" in done.stdout


def add_photo(annotated: Path, **image: object) -> None:
    """A second photo with a person, two.png as one.png."""
    photos = annotated / "photos"
    (photos / "two.png").write_bytes((photos / "one.png").read_bytes())
    table = json.loads((annotated / "coco.json").read_text())
    table["images"].append({"id": 8, "file_name": "two.png", **image})
    table["annotations"].append({**table["annotations"][0], "image_id": 8})
    (annotated / "coco.json").write_text(json.dumps(table))


def test_why_there_is_no_photo_is_told(invoke: Invoke, annotated: Path) -> None:
    (annotated / "odd").mkdir()
    (annotated / "photos" / "one.png").rename(annotated / "odd" / "other.png")
    done = invoke("pose-eval", "--ann", "coco.json", "--images", "odd")
    assert done.exit_code == 1
    assert "'one.png': no such photo in odd" in done.stderr
    assert "none of its 1 photos was found in odd" in done.stderr


def test_a_damaged_photo_is_left_out_for_every_backend(invoke: Invoke, annotated: Path) -> None:
    add_photo(annotated)
    two = annotated / "photos" / "two.png"
    two.write_bytes(two.read_bytes()[:-40])
    words = ("--pose", "tiny-pose", "--pose", "fastpose-m", "--json", "r.json")
    done = invoke("pose-eval", *WHERE, *words)
    assert done.exit_code == 1
    assert done.stderr.count("two.png: the photo is damaged") == 1
    rows = json.loads((annotated / "r.json").read_text())
    assert [(row["pose"], row["photos"]) for row in rows] == [("tiny-pose", 1), ("fastpose-m", 1)]
    assert "1 people in 1 photos" in done.stdout


def test_a_photo_of_another_size_is_not_judged(invoke: Invoke, annotated: Path) -> None:
    add_photo(annotated, width=256, height=192)
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose")
    assert done.exit_code == 1
    assert "two.png: is 128 x 96 pixels, but was annotated at 256 x 192" in done.stderr
    assert "1 people in 1 photos" in done.stdout
    (annotated / "photos" / "one.png").unlink()
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose")
    assert done.exit_code == 1 and not done.stdout
    assert "coco.json: no photo that can be used has a person to judge" in done.stderr


def test_estimated_areas_and_lost_people_are_told(invoke: Invoke, annotated: Path) -> None:
    table = json.loads((annotated / "coco.json").read_text())
    (person,) = table["annotations"]
    table["annotations"] = [{**person, "area": 0}]
    (annotated / "coco.json").write_text(json.dumps(table))
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose")
    assert done.exit_code == 0
    assert "1 of 1 people have no area" in done.stderr
    table["annotations"] = [person, {**person, "image_id": 99}]
    (annotated / "coco.json").write_text(json.dumps(table))
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose")
    assert done.exit_code == 1
    assert "image_id 99: no image has it; 1 annotation(s) left out" in done.stderr
    assert "no area" not in done.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("file/r.json", "file/r.json: cannot be written"),
        ("photos", "photos: is a folder"),
        ("coco.json", "coco.json: is to be read, so --json must not write over it"),
        ("photos/one.png", "photos/one.png: is to be read"),
    ],
)
def test_outputs_are_checked_before_the_work(
    invoke: Invoke, annotated: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str
) -> None:
    (annotated / "file").touch()
    before = (annotated / "coco.json").read_bytes()
    monkeypatch.setattr("keyact.pose.evaluation.evaluate", lambda *_, **__: pytest.fail("judged"))
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose", "--json", target)
    assert done.exit_code == 1 and said in done.stderr
    assert (annotated / "coco.json").read_bytes() == before


def test_a_table_is_printed_before_the_files_are_written(
    invoke: Invoke, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keyact.replacing.os.replace", full)
    done = invoke("pose-eval", *WHERE, "--pose", "tiny-pose", "--json", "r.json")
    assert done.exit_code == 1 and "r.json: cannot be written: No space" in done.stderr
    assert "1 people in 1 photos" in done.stdout


def test_a_backend_given_twice_is_judged_once(invoke: Invoke, annotated: Path) -> None:
    done = invoke("pose-eval", *WHERE, *["--pose", "tiny-pose"] * 2, "--json", "-")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1


def test_options_that_a_backend_ignores_are_not_recorded(invoke: Invoke, annotated: Path) -> None:
    imported = invoke(
        "import", "coco-annotations", "coco.json", "--images", "photos", "--out", "people.jsonl"
    )
    assert imported.exit_code == 0, imported.stderr
    done = invoke(
        "pose-eval", *WHERE, "--pose", "precomputed:people.jsonl", "--pose", "tiny-pose",
        "--threads", 1, "--flip-test", "--csv", "r.csv", "--json", "r.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    cached, network = json.loads((annotated / "r.json").read_text())
    assert (cached["flip_test"], cached["threads"]) == (None, None)
    assert (network["flip_test"], network["threads"]) == (True, 1)
    for option in ("flip-test", "threads"):
        assert done.stderr.count(f"--{option} changes nothing") == 1
    assert (annotated / "r.csv").read_text().splitlines()[1].endswith(",,")


def test_mediapipe_says_that_it_chooses_its_threads() -> None:
    assert MediaPipe.ignores == ("threads",)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "--ann"),
        (("--ann", "none.json", "--images", "photos"), 1, "none.json: no such file"),
        (("--ann", "coco.json", "--images", "none"), 1, "none: no such folder"),
        ((*WHERE, "--pose", "fastpos"), 2, "did you mean 'fastpose-m'"),
        ((*WHERE, "--detector", "yolx"), 2, "did you mean 'yolox'"),
        ((*WHERE, "--json", "-", "--csv", "-"), 2, "stdout"),
        ((*WHERE, "--json", "r", "--csv", "./r"), 2, "same file"),
        ((*WHERE, "--pose", "movenet"), 1, "movenet:FILE"),
    ],
)
def test_what_is_wrong_is_one_line(
    invoke: Invoke, annotated: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = invoke("pose-eval", *arguments)
    assert done.exit_code == status
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_without_pycocotools(
    invoke: Invoke, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.delitem(sys.modules, "pycocotools.cocoeval", raising=False)
    done = invoke("pose-eval", *WHERE)
    assert done.exit_code == 1
    assert done.stderr.strip().endswith("pip install 'keyact[pose-eval]'")
    assert len(done.stderr.strip().splitlines()) == 1
