"""``keyact evaluate``, ``robustness``, ``compare`` and ``explain``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="the extra train is not installed")

STAGES = ("--pose", "tiny-pose", "--detector", "tiny-detector", "--jobs", "1")
TINY = ("--model", "tiny-action", *STAGES)

Invoke = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three red photos with a person and three green without, as a manifest with a split."""
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path / "people"))
    root = tmp_path / "data"
    rows = ["path,label,split"]
    for i in range(3):
        for label, colour in (("red", (120, 120, 120)), ("green", (40, 200 - i, 40))):
            pixels = np.full((96, 128, 3), colour, np.uint8)
            if label == "red":
                pixels[20 + i : 80, 40:90] = (230, 30, 30)
            path = root / "images" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append(f"images/{label}/{i}.png,{label},{'train' if i == 0 else 'val'}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def unillustrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures, which take most of the time."""
    monkeypatch.setattr("keyact.evaluate.plots.save_all", lambda *_: None)
    monkeypatch.setattr("keyact.evaluate.mistakes._save_sheet", lambda *_: None)


def test_evaluate_judges_val_and_writes_a_report(
    invoke: Invoke, data: Path, tmp_path: Path
) -> None:
    done = invoke("evaluate", data, *TINY, "--resamples", 10, "--against", "tiny-action")
    assert done.exit_code == 0, done.stderr
    assert "tiny-action on data val, 4 rows" in done.stdout
    assert "McNemar p = 1" in done.stdout
    report = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text("utf-8"))
    assert (report["split"], report["rows"], report["metrics"]["top1"]["value"]) == ("val", 4, 1)
    again = invoke(
        "evaluate", "--predictions", tmp_path / "evaluation" / "predictions.npz", "--json",
        "--resamples", 10, "--out", "again",
    )  # fmt: skip
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["metrics"] == report["metrics"]


@pytest.mark.usefixtures("unillustrated")
def test_labels_and_photos_may_lie_apart_from_what_lists_them(
    invoke: Invoke, data: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    names = [path.relative_to(data).as_posix() for path in sorted(data.rglob("*.png"))]
    coco = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [],
    }
    (apart / "people.json").write_text(json.dumps(coco), "utf-8")
    (data / "who.csv").write_text((data / "manifest.csv").read_text("utf-8"), "utf-8")
    read = (apart / "people.json", "--labels", data / "who.csv", "--images", data)
    done = invoke("evaluate", *read, *TINY, "--json", "--resamples", 0)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 4
    (apart / "list.csv").write_text((data / "manifest.csv").read_text("utf-8"), "utf-8")
    listed = (apart / "list.csv", "--root", data)
    done = invoke("robustness", *listed, *TINY, "--perturbation", "joint_jitter", "--severity", 1)
    assert done.exit_code == 0, done.stderr
    done = invoke("compare", "tiny-action", "--data", *listed, *STAGES, "--runs", 1)
    assert done.exit_code == 0, done.stderr
    done = invoke("evaluate", *listed, *TINY, "--labels", "x.csv")
    assert done.exit_code == 2 and "option of manifest 'labels'" in done.stderr


@pytest.mark.usefixtures("unillustrated")
@pytest.mark.parametrize(("split", "rows"), [("train", 2), ("all", 6)])
def test_evaluate_takes_the_split_that_is_asked_for(
    invoke: Invoke, data: Path, split: str, rows: int
) -> None:
    done = invoke("evaluate", data, *TINY, "--split", split, "--json", "--resamples", 0)
    assert json.loads(done.stdout)["rows"] == rows


@pytest.mark.usefixtures("unillustrated")
def test_evaluate_takes_splits_from_a_file(invoke: Invoke, data: Path, tmp_path: Path) -> None:
    rows = ["path,label,split,group"]
    for label in ("red", "green"):
        rows += [f"images/{label}/{i}.png,{label},{('train', 'test')[i == 2]}," for i in range(3)]
    (tmp_path / "split.csv").write_text("\n".join(rows) + "\n")
    words = ("--splits", "split.csv", "--split", "test", "--json", "--resamples", 0)
    done = invoke("evaluate", data, *TINY, *words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 2


@pytest.mark.usefixtures("unillustrated")
def test_evaluate_does_not_write_over_the_predictions_it_reads(
    invoke: Invoke, data: Path, tmp_path: Path
) -> None:
    assert invoke("evaluate", data, *TINY, "--resamples", 0).exit_code == 0
    read = tmp_path / "evaluation" / "predictions.csv"
    before = read.read_bytes()
    done = invoke("evaluate", "--predictions", read, "--out", "evaluation")
    assert done.exit_code == 1
    assert "--out must not write over it" in done.stderr
    assert read.read_bytes() == before


@pytest.mark.usefixtures("unillustrated")
def test_limit_takes_photos_of_every_label(invoke: Invoke, data: Path) -> None:
    done = invoke("evaluate", data, *TINY, "--json", "--resamples", 0, "--limit", 2)
    assert sorted(row["label"] for row in json.loads(done.stdout)["per_class"]) == ["green", "red"]


@pytest.mark.usefixtures("unillustrated")
def test_a_broken_photo_is_one_line_and_exit_1(invoke: Invoke, data: Path, tmp_path: Path) -> None:
    (data / "images" / "green" / "1.png").write_text("no photo")
    done = invoke("evaluate", data, *TINY, "--resamples", 0)
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if "1.png" in line]
    assert line.startswith("keyact: ")
    report = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text("utf-8"))
    assert report["rows"] == 3
    assert len(report["failed"]) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("evaluate",), 2, "DATA"),
        (("evaluate", "{data}", "--predictions", "p.npz"), 2, "DATA"),
        (("evaluate", "--predictions", "p.npz"), 1, "p.npz"),
        (("evaluate", "{data}", "--model", "tiny-actoin"), 2, "tiny-action"),
        (("evaluate", "nowhere", *TINY), 1, "nowhere"),
        (("evaluate", "{data}", *TINY, "--split", "test"), 1, "split"),
        (("robustness", "{data}", *TINY, "--perturbation", "frog"), 2, "fog"),
        (("robustness", "{data}", *TINY, "--severity", "6"), 2, "--severity"),
        (("robustness", "{data}", *TINY, "--baseline", "none.json"), 1, "none.json"),
        (("compare", "tiny-action"), 2, "--data"),
        (("explain", "nowhere.png", *TINY), 1, "nowhere.png"),
        (("explain", "{data}/images/red/0.png", *TINY, "--label", "reed"), 2, "red"),
        (("explain", "{data}/images/red/0.png", *TINY, "--person", "7"), 2, "person"),
    ],
)
def test_what_is_wrong_is_one_line(
    invoke: Invoke, data: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = invoke(*(argument.format(data=data) for argument in arguments))
    assert done.exit_code == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_robustness_is_measured_and_compared(invoke: Invoke, data: Path, tmp_path: Path) -> None:
    options = ("--perturbation", "occlusion", "--perturbation", "joint_dropout", "--severity", 1)
    done = invoke("robustness", data, *TINY, *options)
    assert done.exit_code == 0, done.stderr
    assert "occlusion" in done.stdout
    assert "key point noise" in done.stdout
    found = json.loads((tmp_path / "robustness" / "robustness.json").read_text("utf-8"))
    assert found["clean"]["photos"] == 4
    assert len(list((tmp_path / "robustness" / "cache").rglob("*.npz"))) == 3
    other = invoke("robustness", data, *TINY, *options, "--baseline", "robustness/robustness.json")
    assert other.exit_code == 1  # no corruption was measured, so there is no mCE
    assert "no corruption errors" in other.stderr


def test_compare_writes_a_table(invoke: Invoke, data: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_text("no network")
    done = invoke(
        "compare", "tiny-action", "broken.onnx", "--data", data, *STAGES, "--runs", 2,
        "--resamples", 5,
    )  # fmt: skip
    assert done.exit_code == 1
    assert "keyact: broken" in done.stderr
    assert "tiny-action" in done.stdout
    assert "tiny-action" in (tmp_path / "comparison" / "comparison.md").read_text("utf-8")
    assert (tmp_path / "comparison" / "pareto.png").stat().st_size > 0


def test_explain_draws_every_photo(
    invoke: Invoke, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyact.evaluate.explanation.PATCHES", (0.8, 0.6))  # fewer, so quicker
    done = invoke("explain", data / "images" / "red", *TINY, "--out", "why", "--person", 0)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("person 0 is red") == 3
    assert len(list((tmp_path / "why").glob("*-explanation.png"))) == 3
    (data / "images" / "red" / "1.png").write_text("no photo")
    done = invoke("explain", data / "images" / "red", *TINY, "--out", "why")
    assert done.exit_code == 1
    assert "1.png" in done.stderr
    assert done.stdout.count("the photo is red") == 2
