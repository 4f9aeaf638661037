from __future__ import annotations

from pathlib import Path

import pytest

from keyact.errors import KeyactError
from keyact.replacing import replacing


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.weights.h5"
    with replacing(target) as part:
        part.write_text("whole")
        assert part.name.endswith(".weights.h5")  # Keras looks at more than the last suffix
        assert not target.exists()
    assert [file.name for file in target.parent.iterdir()] == ["a.weights.h5"]
    assert target.read_text() == "whole"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["file/a.json", "folder"])
def test_what_the_system_refuses_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "full").mkdir(parents=True)
    caught = pytest.raises(KeyactError, match="cannot be written")
    with caught as error, replacing(tmp_path / name) as part:
        part.write_text("new")
    assert "\n" not in str(error.value)
