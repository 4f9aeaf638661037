from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "--ann"),
        (("--ann", "none.json", "--images", "photos"), 1, "none.json: no such file"),
        (("--ann", "coco.json", "--images", "none"), 1, "none: no such folder"),
        ((*WHERE, "--pose", "fastpos"), 2, "did you mean 'fastpose-m'"),
        ((*WHERE, "--detector", "yolx"), 2, "did you mean 'yolox'"),
        ((*WHERE, "--json", "-", "--csv", "-"), 2, "stdout"),
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
