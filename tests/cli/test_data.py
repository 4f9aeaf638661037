"""``keyact data``: what it prints, writes and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagehash")
pytest.importorskip("sklearn")
pytest.importorskip("safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labels of 20 photos each, on some of which the tiny detector finds a red rectangle."""
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = np.repeat(np.repeat(rng.integers(90, 255, (12, 16, 3)), 8, 0), 8, 1)
        if i % 4 == 0:
            pixels[20:80, 40:90] = (230, 30, 30)
        path = tmp_path / "set" / ("run", "sit")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "set"


def test_a_sound_set_passes_with_report_and_sheet(invoke, folder: Path, tmp_path: Path) -> None:
    done = invoke("data", "check", folder, "--json", "out/report.json", "--sheet", "out/sheet.png")
    assert done.exit_code == 0, done.stderr
    assert "40 photos of 2 labels (class-folders)" in done.stdout
    assert "nothing is wrong" in done.stdout
    report = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    assert report["ok"] and report["counts"] == {"run": {"none": 20}, "sit": {"none": 20}}
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        assert sheet.width > 500 and sheet.height > 200
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.json",
        "sheet.png",
    ]


def test_what_is_wrong_fails_and_json_stays_json(invoke, folder: Path) -> None:
    (folder / "run/00.png").write_bytes((folder / "sit/01.png").read_bytes())
    (folder / "run/02.png").write_bytes(b"broken")
    done = invoke("data", "check", folder, "--json", "-")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert not report["ok"] and len(report["errors"]) == 2
    assert "keyact: error: unreadable:" in done.stderr and "02.png" in done.stderr
    assert "one photo with the labels run and sit" in done.stderr


def test_strict_fails_on_warnings(invoke, folder: Path) -> None:
    Image.new("RGB", (128, 96)).save(folder / "run/00.png")
    assert invoke("data", "check", folder).exit_code == 0
    done = invoke("data", "check", folder, "--strict", "--no-near")
    assert done.exit_code == 1 and "warning: photos of one colour (1)" in done.stderr


def test_people_are_counted_and_kept(invoke, folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path / "cache"))
    options = ("--people", "--detector", "tiny-detector", "--pose", "tiny-pose")
    done = invoke("data", "check", folder, *options, "--json", "r.json", "--sheet", "s.png")
    assert done.exit_code == 0, done.stderr
    assert "photos with one person: 10, with several: 0, with nobody: 30" in done.stdout
    people = json.loads(Path("r.json").read_text())["people"]
    assert people["labels"]["run"] == {"one": 10, "nobody": 10}
    boxes = np.asarray(Image.open("s.png"))
    assert (boxes == (0, 204, 102)).all(-1).sum() > 100
    shown = invoke("cache")
    assert "tiny-detector, tiny-pose" in shown.stdout and " 40 " in shown.stdout


def test_splits_are_written_used_and_checked(invoke, folder: Path) -> None:
    done = invoke("data", "split", folder, "--out", "splits", "--seed", "3")
    assert done.exit_code == 0, done.stderr
    assert "splits/split.csv" in done.stdout.replace("\\", "/")
    checked = invoke("data", "check", folder, "--splits", "splits/split.csv", "--json", "r.json")
    assert checked.exit_code == 0, checked.stderr
    report = json.loads(Path("r.json").read_text())
    assert report["splits"] == {"train": 28, "val": 6, "test": 6}
    again = invoke("data", "split", folder, "--out", "again", "--seed", "3")
    assert again.exit_code == 0
    assert Path("again/split.csv").read_bytes() == Path("splits/split.csv").read_bytes()
    by_table = invoke("data", "check", "splits/split.csv", "--root", folder)
    assert by_table.exit_code == 0 and "(manifest)" in by_table.stdout


def test_nothing_is_written_over_what_is_read(invoke, folder: Path) -> None:
    photo = folder / "run/00.png"
    before = photo.read_bytes()
    done = invoke("data", "check", folder, "--sheet", photo)
    assert done.exit_code == 1
    assert "--sheet must not write over it" in done.stderr
    assert photo.read_bytes() == before
    assert invoke("data", "split", folder).exit_code == 0
    table = folder / "split.csv"
    table.write_bytes(Path("splits/split.csv").read_bytes() + b"\n")
    before = table.read_bytes()
    done = invoke("data", "split", table, "--out", folder)
    assert done.exit_code == 1
    assert "--out must not write over it" in done.stderr
    assert table.read_bytes() == before


def test_folds_by_groups_of_the_names(invoke, folder: Path) -> None:
    done = invoke(
        "data", "split", folder, "--method", "k-fold", "--k", 3, "--group-pattern", r"(\d)\d\.png"
    )
    assert done.exit_code == 0, done.stderr
    assert [path.name for path in sorted(Path("splits").iterdir())] == [
        "fold-1.csv",
        "fold-2.csv",
        "fold-3.csv",
    ]
    leaking = invoke(
        "data", "split", folder, "--method", "stratified", "--group-pattern", r"(\d)\d\.png"
    )
    assert leaking.exit_code == 1
    assert "the splits share what they must not: group " in leaking.stderr
    assert "--method grouped" in leaking.stderr


def test_official_splits_without_their_leaks(invoke, folder: Path) -> None:
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        target = folder.parent / "official" / ("test" if i % 4 == 3 else "train") / path.parent.name
        target.mkdir(parents=True, exist_ok=True)
        (target / path.name).write_bytes(path.read_bytes())
    official = folder.parent / "official"
    (official / "train/run/00.png").write_bytes((official / "test/run/06.png").read_bytes())
    refused = invoke("data", "split", official, "--method", "official")
    assert refused.exit_code == 1 and "--drop-leaks" in refused.stderr
    done = invoke("data", "split", official, "--drop-leaks")
    assert done.exit_code == 0
    assert "00.png: taken out of train" in done.stderr
    text = Path("splits/split.csv").read_text()
    assert "train/run/00.png,run,,\n" in text and "test/run/06.png,run,test,\n" in text
    wrong = invoke("data", "split", official, "--drop-leaks", "--method", "k-fold")
    assert wrong.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("check", "absent"), 1, "absent: no such file or folder"),
        (("check", "set", "--format", "manifset"), 2, "did you mean 'manifest'"),
        (("check", "set", "--labels", "x.csv"), 2, "option of class-folders"),
        (("check", "set", "--sheet", "sheet.xyz"), 1, "ends in .png, .jpg or .webp"),
        (("check", "set", "--splits", "absent.csv"), 1, "absent.csv: cannot be read"),
        (("check", "set", "--people", "--detector", "tiny-detecter"), 2, "tiny-detector"),
        (("split", "set", "--method", "kfold"), 2, "did you mean 'k-fold'"),
        (("split", "set", "--val", "0.6", "--test", "0.6"), 1, "leave nothing to train on"),
        (("split", "set", "--method", "k-fold", "--k", "1"), 2, "--k"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: tuple[str, ...], code: int, said: str, invoke, folder: Path
) -> None:
    done = invoke("data", *arguments)
    assert done.exit_code == code
    assert said in done.stderr and "Traceback" not in done.stderr
