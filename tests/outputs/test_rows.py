"""JSON Lines and CSV writers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyact.errors import KeyactError
from keyact.outputs import CsvWriter, JsonLinesWriter
from keyact.results import Action, FrameResult, Person


def person(**changes: Any) -> Person:
    values: dict[str, Any] = {
        "box": (1, 2, 3.5, 4),
        "box_score": 0.9,
        "score": 2.5,
        "layout": "penn13",
        "keypoints": np.full((13, 3), 0.5),
        "action": "golf",
        "actions": (Action(label="golf", probability=0.75),),
        "posture": "standing",
    }
    return Person(**{**values, **changes})


def frame(*people: Person, **changes: Any) -> FrameResult:
    values: dict[str, Any] = {
        "source": "photo.jpg",
        "width": 640,
        "height": 480,
        "image_action": "golf",
        "image_actions": (Action(label="golf", probability=0.5),),
        "image_only": not people,
        "people": people,
        "timings_ms": {},
        "model": "m",
    }
    return FrameResult(**{**values, **changes})


def test_json_lines_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "out.jsonl"
    frames = [frame(person()), frame(source='tricky\n"name".jpg'), frame(index=2)]
    with JsonLinesWriter(path) as writer:
        for item in frames:
            writer.write(item)
    lines = path.read_text("utf-8").splitlines()
    assert [FrameResult.from_json(line) for line in lines] == frames


def test_every_line_is_on_disk_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = JsonLinesWriter(path)
    for count in (1, 2, 3):
        writer.write(frame())
        assert path.read_bytes().count(b"\n") == count
    table = CsvWriter(tmp_path / "out.csv")
    table.write(frame())
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == 2
    writer.close()
    table.close()


@pytest.mark.parametrize(("writer", "lines"), [(JsonLinesWriter, 0), (CsvWriter, 1)])
def test_a_file_is_written_anew_by_its_first_line_or_its_end(
    tmp_path: Path, writer: Any, lines: int
) -> None:
    path = tmp_path / "out"
    path.write_text("an earlier run\n" * 9)
    with pytest.raises(RuntimeError), writer(path):
        raise RuntimeError  # something else of the run could not begin
    assert path.read_text() == "an earlier run\n" * 9
    with writer(path):
        pass
    assert path.read_bytes().count(b"\n") == lines
    path.write_text("an earlier run\n" * 9)
    with pytest.raises(RuntimeError), writer(path) as out:
        out.write(frame())
        raise RuntimeError
    assert path.read_bytes().count(b"\n") == lines + 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("writer", [JsonLinesWriter, CsvWriter])
def test_a_full_disk_is_named(writer: Any) -> None:
    caught = pytest.raises(KeyactError, match="/dev/full: cannot be written: No space")
    with caught, writer("/dev/full") as out:
        out.write(frame())


HEADER = (
    "source,index,timestamp,person,x1,y1,x2,y2,score,posture,action,probability,"
    "image_action,image_probability"
)


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        (frame(), ["photo.jpg,0,,,,,,,,,,,golf,0.5"]),
        (
            frame(person(), person(posture=None, action="unknown")),
            [
                "photo.jpg,0,,0,1.0,2.0,3.5,4.0,2.5,standing,golf,0.75,golf,0.5",
                "photo.jpg,0,,1,1.0,2.0,3.5,4.0,2.5,,unknown,0.75,golf,0.5",
            ],
        ),
        (
            frame(person(track_id=7), index=3, timestamp=0.5),
            ["photo.jpg,3,0.5,7,1.0,2.0,3.5,4.0,2.5,standing,golf,0.75,golf,0.5"],
        ),
        (
            frame(image_action="unknown", image_actions=(), source="a, b.jpg"),
            ['"a, b.jpg",0,,,,,,,,,,,unknown,'],
        ),
    ],
)
def test_csv_rows(tmp_path: Path, result: FrameResult, rows: list[str]) -> None:
    path = tmp_path / "out.csv"
    with CsvWriter(path) as writer:
        writer.write(result)
    text = path.read_text("utf-8")
    assert text.splitlines() == [HEADER, *rows]
    assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1


@pytest.mark.parametrize(("writer", "lines"), [(JsonLinesWriter, 1), (CsvWriter, 2)])
def test_dash_is_standard_output(writer: Any, lines: int, capsys: pytest.CaptureFixture) -> None:
    with writer("-") as out:
        out.write(frame())
    print("still open")
    assert len(capsys.readouterr().out.splitlines()) == lines + 1


@pytest.mark.parametrize("writer", [JsonLinesWriter, CsvWriter])
def test_unwritable_target_is_one_clear_line(tmp_path: Path, writer: Any) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path, tmp_path / "file" / "out"):
        with pytest.raises(KeyactError, match="cannot be written") as caught:
            writer(target)
        assert str(caught.value).startswith(str(target))
