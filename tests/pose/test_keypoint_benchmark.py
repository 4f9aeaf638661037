"""What ``benchmarks/keypoints.py`` writes, with its measurements replaced by counted ones."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import keypoints

PERSON = {"bbox": [0, 0, 4, 4]}
PHOTOS = [(np.zeros((8, 8, 3), np.uint8), [PERSON, PERSON])] * 4


class Clock:
    """Each call of a pose or a detector takes as many milliseconds as it says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: Counter[object] = Counter()

    def takes(self, what: object, milliseconds: float) -> Any:
        def call(*_: object) -> None:
            self.calls[what] += 1
            self.now += milliseconds / 1000

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    bench, own = keypoints.Bench, SimpleNamespace(decode="integral", margin=1.2)
    monkeypatch.setattr(keypoints, "OnnxPose", SimpleNamespace)
    monkeypatch.setattr(bench, "_network", lambda self, name: own)
    monkeypatch.setattr(bench, "_annotated", PHOTOS)
    monkeypatch.setattr(bench, "_true_boxes", lambda *_: {"people": 8, "oks_true_boxes": 0.5})
    monkeypatch.setattr(bench, "_teacher", lambda *_: {"teacher_oks": 0.6, "crops": 3})
    monkeypatch.setattr(bench, "_detector", lambda *_: {"oks_detector": 0.4, "poses": 7})
    monkeypatch.setattr(bench, "_action", lambda *_: {"top1": 0.5, "photos": 2, "right": "10"})
    monkeypatch.setattr(
        bench, "_estimator", lambda _, how: made.takes(how, 20.0 if how.flip else 9.0)
    )
    monkeypatch.setattr(
        bench, "_finder", lambda _, name: made.takes(name, 1.0 if ":" in name else 7.0)
    )
    monkeypatch.setattr(keypoints.time, "perf_counter", lambda: made.now)
    return made


def measured(tmp_path: Path, *options: str) -> dict[tuple[str, str], dict[str, str]]:
    out = tmp_path / "keypoints.csv"
    folder = ["--cache", str(tmp_path / "cache"), "--labels", str(tmp_path), "--out", str(out)]
    (tmp_path / "sports18.npz").touch()
    keypoints.main([*folder, "--runs", "10", *options])
    with out.open(newline="", encoding="utf-8") as file:
        return {(row["lever"], row["value"]): row for row in csv.DictReader(file)}


def test_equal_settings_share_one_time(tmp_path: Path, clock: Clock) -> None:
    rows = measured(tmp_path)
    shipped = [("flip", "off"), ("decode", "integral"), ("margin", "1.2"), ("size", "224 x 224"),
               ("int8", "float")]  # fmt: skip
    assert {rows[one]["ms_per_person"] for one in shipped} == {"9.0"}
    assert rows["flip", "on"]["ms_per_person"] == "20.0"
    timed = [how for how in clock.calls if isinstance(how, keypoints.Setting)]
    # One setting for all that are shipped; NMS and detectors are no part of what is timed.
    assert len(timed) == sum(lever not in keypoints.OUTSIDE for lever, _ in rows) - 4
    assert {clock.calls[how] for how in timed} == {12}  # two turns of five and one not counted


def test_a_time_stands_where_it_is_measured(tmp_path: Path, clock: Clock) -> None:
    for (lever, value), row in measured(tmp_path).items():
        assert bool(row["ms_per_person"]) == (lever not in ("nms", "detector"))
        finds = lever == "detector" and value != "true boxes"
        wanted = ("1.0" if value == "yolox-nano" else "7.0") if finds else ""
        assert row["ms_per_photo_detector"] == wanted, (lever, value)


def test_only_keeps_the_other_rows(tmp_path: Path, clock: Clock) -> None:
    before = measured(tmp_path, "--only", "decode", "nms")
    assert {lever for lever, _ in before} == {"decode", "nms"}
    after = measured(tmp_path, "--only", "flip", "decode")
    assert [lever for lever, _ in after] == ["flip"] * 2 + ["decode"] * 4 + ["nms"] * 2
    assert after["nms", "off"] == before["nms", "off"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threads", "1"], "nms on has threads 2, here it is 1"),
        (["--detector", "whole-image"], "nms on has detector persondet-m"),
    ],
)
def test_only_does_not_mix_measurements(
    tmp_path: Path, clock: Clock, options: list[str], said: str
) -> None:
    before = measured(tmp_path, "--only", "nms")
    with pytest.raises(SystemExit, match=said):
        measured(tmp_path, "--only", "flip", *options)
    assert measured(tmp_path, "--only", "nms") == before


def test_only_does_not_mix_weights(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(tmp_path, "--only", "nms")
    monkeypatch.setattr(keypoints.Bench, "_true_boxes", lambda *_: {"oks_true_boxes": 0.7})
    with pytest.raises(SystemExit, match=r"nms on has oks_true_boxes 0\.5, here it is 0\.7"):
        measured(tmp_path, "--only", "flip", "--cache", str(tmp_path / "another"))


def test_without_the_teachers_labels_it_must_be_told(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "keypoints.csv"
    options = ["--labels", str(tmp_path / "none"), "--out", str(out), "--cache", str(tmp_path)]
    with pytest.raises(SystemExit):
        keypoints.main(options)
    assert "python -m training.label" in capsys.readouterr().err and not out.exists()
    rows = measured(tmp_path, "--only", "flip", "--labels", str(tmp_path / "none"), "--no-teacher")
    assert {row["teacher_oks"] for row in rows.values()} == {""}


def test_settings_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(keypoints.time, "perf_counter", lambda: clock.now)
    order: list[str] = []

    def call(name: str, milliseconds: float) -> None:
        order.append(name)
        clock.takes(name, milliseconds)()

    calls = {"a": lambda: call("a", 2.0), "b": lambda: call("b", 3.0)}
    found = keypoints.in_turns(calls, 12)
    assert found == pytest.approx({"a": 2.0, "b": 3.0})
    assert "".join(order) == ("a" * 6 + "b" * 6) * 3
