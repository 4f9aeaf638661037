from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from keyact.errors import InputError
from keyact.train.run import RunFolder, environment

ROWS = [
    {"epoch": 1.0, "seconds": 2.0, "loss": 1.5, "val_loss": 1.4, "val_top1": 0.3},
    {"epoch": 2.0, "seconds": 2.0, "loss": 1.2, "val_loss": 1.3, "val_top1": 0.5},
]


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    run = RunFolder.create("one", tmp_path)
    run.write_bytes(run.config, b"epochs: 1\n")
    with pytest.raises(InputError, match=r"nothing to resume.*; start it without --resume"):
        RunFolder.create("one", tmp_path, resume=True)
    assert RunFolder.create("one", tmp_path) == run  # stopped before there was anything to lose
    run.checkpoint.write_bytes(b"")
    with pytest.raises(InputError, match="go on with --resume"):
        RunFolder.create("one", tmp_path)
    assert RunFolder.create("one", tmp_path, resume=True) == run


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a" * 200, "-x"])
def test_a_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no name for a run"):
        RunFolder.create(name, tmp_path)


def test_log_and_curves(tmp_path: Path) -> None:
    run = RunFolder.create("one", tmp_path)
    run.write_log(ROWS[:1])
    run.write_log(ROWS)
    with run.log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_top1"]) for row in rows] == [0.3, 0.5]
    assert run.curves.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in run.root.iterdir()) == ["curves.png", "log.csv"]


def test_the_environment_names_versions_and_machine() -> None:
    found = environment()
    assert found["packages"]["numpy"]
    assert found["cpus"] >= 1
    json.dumps(found)
