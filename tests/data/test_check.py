"""The check finds what was planted, and only that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagehash")

from keyact.data import load_dataset
from keyact.data.check import Report, check
from keyact.data.leakage import exact_duplicates
from keyact.data.looks import Look, look, near_duplicates, read_picture
from keyact.data.sheet import MAX_LABELS, ContactSheet
from keyact.errors import InputError, KeyactError


@pytest.fixture
def clean(tmp_path: Path, draw_photo) -> Path:
    for i in range(24):
        split = ("train", "val", "test")[i % 12 // 10 + i % 12 // 11]
        draw_photo(tmp_path / "set" / split / ("run", "sit")[i // 12] / f"{i}.png", i)
    return tmp_path / "set"


def report_on(root: Path, **options: object) -> Report:
    report = check(load_dataset(root), **options)
    assert json.loads(json.dumps(report.to_json_dict()))["ok"] is (not report.errors)
    return report


def test_nothing_is_wrong(clean: Path) -> None:
    report = report_on(clean)
    assert report.errors == report.warnings == []
    assert report.counts == {label: {"train": 10, "val": 1, "test": 1} for label in ("run", "sit")}
    facts = report.to_json_dict()
    assert facts["sizes"]["width"] == {"min": 120, "median": 120.0, "max": 120}
    assert (facts["samples"], facts["exact_duplicates"], facts["near_duplicates"]) == (24, [], [])
    assert facts["imbalance"]["ratio"] == 1


def replace_by(root: Path, name: str, data: bytes) -> None:
    (root / name).write_bytes(data)


PLANTED = {
    "damaged": (
        lambda root, draw: replace_by(
            root, "val/run/10.png", (root / "val/run/10.png").read_bytes()[:500]
        ),
        "errors",
        ["unreadable", "10.png"],
    ),
    "not a photo": (
        lambda root, draw: (root / "val/run/notes.txt").write_text("?"),
        "errors",
        ["notes.txt: is left out"],
    ),
    "a copy on two sides": (
        lambda root, draw: replace_by(
            root, "test/run/11.png", (root / "train/run/3.png").read_bytes()
        ),
        "errors",
        ["on two sides", "run/11.png in test and run/3.png in train"],
    ),
    "a copy with another label": (
        lambda root, draw: replace_by(
            root, "train/sit/12.png", (root / "train/run/3.png").read_bytes()
        ),
        "errors",
        ["one photo with the labels run and sit"],
    ),
    "a copy": (
        lambda root, draw: replace_by(
            root, "train/run/4.png", (root / "train/run/3.png").read_bytes()
        ),
        "warnings",
        ["copies of others (1)"],
    ),
    "the same photo smaller": (
        lambda root, draw: draw(root / "test/run/11.png", 3, size=(150, 125)),
        "warnings",
        ["look alike are on two sides (1)", "11.png", "3.png"],
    ),
    "one colour": (
        lambda root, draw: Image.new("RGB", (120, 100), "black").save(root / "val/sit/22.png"),
        "warnings",
        ["of one colour (1)", "22.png"],
    ),
    "small": (
        lambda root, draw: draw(root / "val/sit/22.png", 99, size=(60, 50)),
        "warnings",
        ["under 96 pixels wide or high (1)", "22.png"],
    ),
    "a label without training": (
        lambda root, draw: draw(root / "test/jump/90.png", 90),
        "errors",
        ["no training samples of jump"],
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found(what: str, clean: Path, draw_photo) -> None:
    plant, kind, parts = PLANTED[what]
    plant(clean, draw_photo)
    report = report_on(clean)
    found = getattr(report, kind)
    assert any(all(part in line for part in parts) for line in found), report
    if kind == "warnings":
        assert report.errors == []
    assert len(report.looks) == sum(1 for p in clean.rglob("*.png"))


def test_groups_on_two_sides(clean: Path) -> None:
    rows = [f"{p.relative_to(clean).as_posix()},{p.parent.name},{p.parts[-3]},g{p.stem}"
            for p in sorted(clean.rglob("*.png"))]  # fmt: skip
    rows = [row.replace(",g11", ",g3") for row in rows]
    (clean / "table.csv").write_text("path,label,split,group\n" + "\n".join(rows))
    report = report_on(clean / "table.csv")
    (error,) = report.errors
    assert "on two sides: group 'g3'" in error
    assert report.facts["groups"] == 23


def test_imbalance_few_and_one_label(tmp_path: Path, draw_photo) -> None:
    for i in range(22):
        draw_photo(tmp_path / ("run" if i < 20 else "sit") / f"{i}.png", i)
    report = report_on(tmp_path, near=False)
    assert report.facts["imbalance"]["ratio"] == 10 and report.facts["near_duplicates"] is None
    assert any("run has 10 times as many samples as sit" in line for line in report.warnings)
    assert any("under 10 training samples of sit" in line for line in report.warnings)
    one = check(load_dataset(tmp_path / "run" / "..", "class-folders"), near=False)
    assert one.errors == []
    (tmp_path / "one.csv").write_text("path,label\nrun/0.png,run\n")
    assert "one label only" in report_on(tmp_path / "one.csv").errors[0]


def test_near_duplicates_survive_jpeg_and_scaling(tmp_path: Path, draw_photo) -> None:
    """Every changed copy is found and no two of 40 different photos are taken for one."""
    paths = [draw_photo(tmp_path / f"{i}.png", i) for i in range(40)]
    changed = [
        draw_photo(tmp_path / "j.jpg", 5, quality=40),
        draw_photo(tmp_path / "s.png", 5, size=(200, 167)),
        draw_photo(tmp_path / "t.png", 5, size=(90, 75)),
    ]
    looks = list(look([*paths, *changed], "photos", hashes=True, jobs=2))
    pairs = {(i, j) for i, j, _ in near_duplicates(looks)}
    family = (5, 40, 41, 42)
    assert pairs == {(i, j) for i in family for j in family if i < j}


@pytest.mark.parametrize(
    ("phash", "dhash", "alike"), [(0, 0, True), (8, 20, True), (9, 0, False), (8, 21, False)]
)
def test_both_hashes_must_be_alike(phash: int, dhash: int, alike: bool) -> None:
    first = np.random.default_rng(1).random((2, 64)) < 0.5
    second = first.copy()
    second[0, :phash] ^= True
    second[1, :dhash] ^= True
    looks = [Look(Path(str(i)), hashes=hashes) for i, hashes in enumerate((first, second))]
    assert near_duplicates(looks) == ([(0, 1, phash)] if alike else [])


def test_blank_photos_are_not_each_others_duplicates(tmp_path: Path) -> None:
    for i in range(6):
        Image.new("RGB", (100 + i, 100), (i, i, i)).save(tmp_path / f"{i}.png")
    looks = list(look(sorted(tmp_path.iterdir()), "photos", hashes=True, jobs=1))
    assert all(seen.blank for seen in looks) and near_duplicates(looks) == []


def test_files_of_one_size_are_compared_by_content(tmp_path: Path) -> None:
    for name, data in {"a": b"12", "b": b"12", "c": b"21", "d": b"123", "e": b""}.items():
        (tmp_path / name).write_bytes(data)
    found = exact_duplicates([*sorted(tmp_path.iterdir()), tmp_path / "a", tmp_path / "absent"])
    assert found == [[tmp_path / "a", tmp_path / "b"]]


def test_the_sheet_shows_labels_and_findings(clean: Path, draw_photo, tmp_path: Path) -> None:
    PLANTED["a copy on two sides"][0](clean, draw_photo)
    PLANTED["one colour"][0](clean, draw_photo)
    replace_by(clean, "val/run/10.png", b"broken")
    dataset = load_dataset(clean)
    sheet = ContactSheet(dataset)
    report = check(dataset, keep=sheet.keep)
    picture = np.asarray(sheet.draw(report))
    plain = np.asarray(ContactSheet(load_dataset(clean)).draw(report))
    np.testing.assert_array_equal(picture, plain)  # kept thumbnails are those of a second reading
    red, blue = (187, 85, 102), (68, 119, 170)
    below = picture[2 * 110 + 40 :]  # the rows of findings
    assert (picture[:250] == blue).all(-1).sum() > 1000
    assert (below == red).all(-1).any() and (below == blue).all(-1).any()
    for name in ("sheet.png", "sheet.jpg"):
        sheet.save(tmp_path / "out" / name, report)
        with Image.open(tmp_path / "out" / name) as written:
            assert written.size == picture.shape[1::-1]
    with pytest.raises(InputError, match=r"ends in \.png, \.jpg or \.webp"):
        sheet.save(tmp_path / "sheet.txt", report)


def test_the_sheet_of_many_labels_stays_a_picture(tmp_path: Path, draw_photo) -> None:
    for i in range(MAX_LABELS + 5):
        draw_photo(tmp_path / f"танец {i:03}" / "a.png", i, size=(20, 20))
    dataset = load_dataset(tmp_path)
    sheet = ContactSheet(dataset)
    assert sheet.draw(check(dataset, near=False, keep=sheet.keep)).height < 8000


def test_clips_are_checked_by_their_first_frame(shared_dir: Path, tmp_path: Path) -> None:
    for i, clip in enumerate(sorted((shared_dir / "data/media/video").glob("*.mp4"))[:2]):
        (tmp_path / f"label{i}").mkdir()
        (tmp_path / f"label{i}" / clip.name).symlink_to(clip)
    (tmp_path / "label0" / "broken.mp4").write_bytes(b"no video")
    report = report_on(tmp_path)
    assert report.facts["kind"] == "videos" and report.facts["near_duplicates"] is None
    assert "broken.mp4" in report.errors[0]
    assert report.facts["sizes"]["width"]["min"] > 100
    with pytest.raises(KeyactError, match="not in clips"):
        report_on(tmp_path, people=True)
    with pytest.raises(InputError):
        read_picture(tmp_path / "label0" / "broken.mp4", "videos")
