"""Figures of the README are looked up in one row, or in none at all."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from result_files import write_table

from benchmarks import readme


@pytest.mark.parametrize(
    ("lever", "said"),
    [
        ("flip", r"keypoints\.csv: 0 rows with lever 'flip' and value 'off' where one is needed"),
        ("margin", r"keypoints\.csv: 0 rows with lever 'margin' and value '1\.25'"),
    ],
)
def test_a_lever_that_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lever: str, said: str
) -> None:
    for file in readme.RESULTS.glob("*.*"):
        shutil.copy(file, tmp_path)
    with (tmp_path / "keypoints.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["lever"] != lever]
    write_table(tmp_path / "keypoints.csv", rows)
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match=said):
        readme.accuracy()


def test_a_card_without_the_margins_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "CARD", tmp_path / "card.md")
    (tmp_path / "card.md").write_text("# FastPose-M\n", "utf-8")
    with pytest.raises(SystemExit, match=r"does not say how far the margin 1\.2 is above 1\.25"):
        readme.accuracy()
