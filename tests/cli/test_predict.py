from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyact.media import load_image
from keyact.outputs import VideoWriter
from keyact.results import FrameResult

TINY = ("--model", "tiny-action", "--pose", "tiny-pose", "--detector", "tiny-detector")

Invoke = Callable[..., Any]


def save_photo(path: Path, person: bool = True) -> Path:
    pixels = np.full((96, 128, 3), 200, np.uint8)
    if person:
        pixels[20:80, 40:90] = (230, 30, 30)
    Image.fromarray(pixels).save(path)
    return path


def save_clip(path: Path, frames: int) -> Path:
    pixels = np.full((96, 128, 3), 200, np.uint8)
    pixels[20:80, 40:90] = (30, 30, 230)  # BGR
    with VideoWriter(path, 10) as clip:
        for _ in range(frames):
            clip.write(pixels)
    return path


def results(path: Path) -> list[FrameResult]:
    return [FrameResult.from_json(line) for line in path.read_text("utf-8").splitlines()]


def test_a_photo_gives_a_table_and_a_closing_line(invoke: Invoke, photo: Path) -> None:
    done = invoke("predict", photo, *TINY)
    assert done.exit_code == 0
    row = next(line for line in done.stdout.splitlines() if "one.png" in line)
    assert "red" in row
    assert "%" in row
    assert "1 photo, 1 person, " in done.stderr


def test_a_photo_without_a_person_says_so(invoke: Invoke, tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "empty.png", person=False)
    done = invoke("predict", photo, *TINY)
    assert done.exit_code == 0
    assert "no one" in done.stdout
    assert "whole photo" in done.stdout
    assert "0 people" in done.stderr


def test_json_csv_and_pictures_are_written_together(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    done = invoke(
        "predict", photo, *TINY, "--json", "out/r.jsonl", "--csv", "r.csv", "--save", "pictures"
    )
    assert done.exit_code == 0
    (result,) = results(tmp_path / "out" / "r.jsonl")
    assert result.source == str(photo)
    x1, y1, x2, y2 = result.people[0].box
    assert (x1, y1, x2, y2) == pytest.approx((40, 20, 90, 80), abs=3)
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["action"] == result.people[0].action == "red"
    picture = load_image(tmp_path / "pictures" / "one.jpg")
    assert picture.shape == (96, 128, 3)
    assert not np.array_equal(picture, load_image(photo))


def test_json_on_stdout_is_nothing_but_json(invoke: Invoke, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("not a photo")
    done = invoke("predict", photo, "bad.jpg", *TINY, "--json", "-")
    assert done.exit_code == 1
    (line,) = done.stdout.splitlines()
    assert FrameResult.from_json(line).people
    assert "one.png" in done.stderr  # the table has moved there
    assert "bad.jpg" in done.stderr


def test_csv_on_stdout_is_nothing_but_csv(invoke: Invoke, photo: Path) -> None:
    done = invoke("predict", photo, *TINY, "--csv", "-")
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert row["source"] == str(photo)


def test_top_k(invoke: Invoke, photo: Path) -> None:
    done = invoke("predict", photo, *TINY, "--json", "-", "--top-k", 2)
    assert len(FrameResult.from_json(done.stdout).people[0].actions) == 2


@pytest.mark.parametrize(("least", "action"), [("0", "red"), ("1", "unknown")])
def test_min_confidence(invoke: Invoke, photo: Path, least: str, action: str) -> None:
    done = invoke("predict", photo, *TINY, "--json", "-", "--min-confidence", least)
    assert FrameResult.from_json(done.stdout).people[0].action == action


def test_folders_and_patterns_are_searched_and_files_taken_once(
    invoke: Invoke, tmp_path: Path
) -> None:
    folder = tmp_path / "trip"
    (folder / "day").mkdir(parents=True)
    for name in ("b.png", "a.png", "day/c.png"):
        save_photo(folder / name)
    done = invoke("predict", "trip", "trip/*.png", *TINY, "--json", "r.jsonl")
    assert done.exit_code == 0
    sources = [Path(result.source) for result in results(tmp_path / "r.jsonl")]
    assert sources == [Path("trip", name) for name in ("a.png", "b.png", "day/c.png")]


def test_photos_of_one_name_do_not_overwrite_each_other(invoke: Invoke, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_photo(tmp_path / folder / "same.png")
    invoke("predict", "one", "two", *TINY, "--save", "out")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_copies_never_take_the_place_of_what_is_read(invoke: Invoke, tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg")
    save_photo(tmp_path / "a.png", person=False)
    before = {name: (tmp_path / name).read_bytes() for name in ("a.jpg", "a.png")}
    done = invoke("predict", ".", *TINY, "--save", ".")
    assert done.exit_code == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert len(list(tmp_path.iterdir())) == 4


def test_copies_of_an_earlier_run_are_not_recognised(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "trip").mkdir()
    save_photo(tmp_path / "trip" / "a.png")
    where = ("--save", "trip/marked")
    for asked, found in [
        ("trip", 1), ("trip", 1), ("**/*.*", 1), ("trip/marked", 1), ("trip/marked/a.jpg", 1)
    ]:  # fmt: skip
        done = invoke("predict", asked, *TINY, *where)
        assert done.exit_code == 0 and f"{found} photo, " in done.stderr, asked
        if asked == "trip/marked":  # asked for, so the copy is a photo like any other
            (tmp_path / "trip" / "marked" / "a-2.jpg").unlink()
    done = invoke("predict", "trip", *TINY, *where)
    assert "2 of the files found are in trip/marked, where --save writes" in done.stderr


def test_a_timeline_is_written_for_videos_alone(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.jsonl").write_text("old")
    assert invoke("predict", photo, *TINY, "--timeline", "t.jsonl").exit_code == 0
    assert (tmp_path / "t.jsonl").read_text() == "old"
    for option in (["--timeline", "t.jsonl"], ["--sequence", "penn-tcn"]):
        done = invoke("predict", photo, *TINY, "--no-track", *option)
        assert done.exit_code == 2 and f"{option[0]} follows people" in done.stderr


@pytest.mark.parametrize("command", ["predict", "pose"])
def test_a_form_of_alphapose_needs_a_file_to_write(
    invoke: Invoke, photo: Path, command: str
) -> None:
    done = invoke(command, photo, "--alphapose-format", "open")
    assert done.exit_code == 2
    assert "name it with --save-alphapose" in " ".join(done.stderr.replace("│", " ").split())


def test_an_output_never_takes_the_place_of_what_is_read(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    before = photo.read_bytes()
    done = invoke("predict", photo, *TINY, "--json", photo)
    assert done.exit_code == 1
    assert "--json must not write over it" in done.stderr
    assert photo.read_bytes() == before


def test_a_copy_that_cannot_be_saved_stops_nothing_else(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (66_000, 3)).save(tmp_path / "long.png")
    done = invoke("predict", "long.png", photo, *TINY, "--json", "r.jsonl", "--save", "out")
    assert done.exit_code == 1
    assert len(results(tmp_path / "r.jsonl")) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.jpg"]
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("keyact:"))
    assert "long.jpg: 66000 x 3 pixels are too many" in line


def truncated() -> bytes:
    path = Path("whole.png")
    save_photo(path)
    return path.read_bytes()[:90]


BAD = {
    "missing.jpg": None,
    "text.jpg": b"hello, I am not a photo",
    "empty.png": b"",
    "truncated.png": truncated,
    "text.mp4": b"hello, I am not a video",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line_and_the_rest_goes_on(
    invoke: Invoke, photo: Path, tmp_path: Path, name: str
) -> None:
    content = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content() if callable(content) else content)
    done = invoke("predict", name, photo, *TINY, "--json", "r.jsonl")
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if name in line]
    assert line.startswith("keyact: ")
    assert "Traceback" not in done.stderr
    assert [result.source for result in results(tmp_path / "r.jsonl")] == [str(photo)]
    assert "1 failed" in done.stderr


def test_two_outputs_cannot_be_one_file(invoke: Invoke, photo: Path) -> None:
    done = invoke("predict", photo, *TINY, "--json", "both", "--csv", "./both")
    assert done.exit_code == 2
    assert "--json and --csv are the same file" in " ".join(done.stderr.split())


def test_an_empty_folder_says_what_it_looked_for(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    done = invoke("predict", "nothing", *TINY)
    assert done.exit_code == 1
    assert ".jpg" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "PATH"),
        (("{photo}", "--model", "tiny-actoin"), "tiny-action"),  # the nearest name
        (("{photo}", "--pose", "tiny-detector"), "pose backend"),
        (("{photo}", "--threads", "0"), "--threads"),
        (("{photo}", "--top-k", "0"), "--top-k"),
        (("{photo}", "--every", "0"), "--every"),
        (("{photo}", "--min-confidence", "2"), "--min-confidence"),
        (("{photo}", "--json", "-", "--csv", "-"), "stdout"),
        (("{photo}", "--no-such-option"), "--no-such-option"),
    ],
)
def test_usage_errors_exit_with_2(
    invoke: Invoke, photo: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = [str(photo) if argument == "{photo}" else argument for argument in arguments]
    kinds = dict(zip(TINY[::2], TINY[1::2], strict=True))
    for option, name in kinds.items():
        if option not in given:
            given += [option, name]
    done = invoke("predict", *(given if arguments else ()))
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_name_leaves_the_old_results_alone(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.jsonl").write_text("old")
    done = invoke("predict", photo, "--model", "no-such-model", "--json", "r.jsonl")
    assert done.exit_code == 2
    assert (tmp_path / "r.jsonl").read_text() == "old"


@pytest.mark.parametrize(
    "broken", [("--csv", "file/r.csv"), ("--save", "file/out"), ("--timeline", "file/t.jsonl")]
)
def test_a_run_that_cannot_begin_leaves_the_old_results_alone(
    invoke: Invoke, photo: Path, tmp_path: Path, broken: tuple[str, str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "r.jsonl").write_text("old")
    save_clip(tmp_path / "clip.mp4", 3)
    done = invoke("predict", photo, "clip.mp4", *TINY, "--json", "r.jsonl", *broken)
    assert done.exit_code == 1
    assert (tmp_path / "r.jsonl").read_text() == "old"


def test_a_place_that_cannot_be_written_is_one_line(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = invoke("predict", photo, *TINY, "--json", "file/r.jsonl")
    assert done.exit_code == 1
    assert [line for line in done.stderr.splitlines() if "r.jsonl" in line]


def test_a_video_frame_by_frame(invoke: Invoke, tmp_path: Path) -> None:
    save_clip(tmp_path / "clip.mp4", 9)
    done = invoke("predict", "clip.mp4", *TINY, "--json", "r.jsonl", "--save", "o", "--every", 4)
    assert done.exit_code == 0
    found = results(tmp_path / "r.jsonl")
    assert [result.index for result in found] == [0, 4, 8]
    assert [result.timestamp for result in found] == pytest.approx([0, 0.4, 0.8])
    assert {result.source for result in found} == {"clip.mp4"}
    assert (tmp_path / "o" / "clip.mp4").stat().st_size > 0
    assert "1 video (3 frames)" in done.stderr
    assert "clip.mp4 (3 frames)" in done.stdout


def test_photos_and_videos_keep_their_order(invoke: Invoke, photo: Path, tmp_path: Path) -> None:
    save_clip(tmp_path / "clip.mp4", 2)
    save_photo(tmp_path / "two.png")
    invoke("predict", photo, "clip.mp4", "two.png", *TINY, "--json", "r.jsonl")
    assert [Path(result.source).name for result in results(tmp_path / "r.jsonl")] == [
        "one.png",
        "clip.mp4",
        "clip.mp4",
        "two.png",
    ]


@pytest.mark.parametrize("bad", [False, True])
def test_long_lists_are_cut_and_say_so(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: bool
) -> None:
    monkeypatch.setattr("keyact.cli.summary.MAX_ROWS", 2 if bad else 3)
    for i in range(3):
        save_photo(tmp_path / f"{i}.png")
    done = invoke("predict", ".", *TINY)
    assert ("1 more row" in done.stderr) is bad
    assert ("2.png" in done.stdout) is not bad


def start(home: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "keyact", "predict", *arguments, *TINY],
        cwd=folder,
        env={**os.environ, "KEYACT_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupting_keeps_what_is_written(home: Path, tmp_path: Path) -> None:
    save_clip(tmp_path / "long.mp4", 2000)
    out = tmp_path / "r.jsonl"
    running = start(home, tmp_path, "long.mp4", "--json", out.name)
    deadline = time.monotonic() + 60
    while not (out.exists() and out.read_text("utf-8").count("\n") > 2):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, messages = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in messages
    assert "interrupted" in messages
    assert 2 < len(results(out)) < 2000  # every line is whole


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_is_no_traceback(home: Path, tmp_path: Path) -> None:
    save_clip(tmp_path / "long.mp4", 200)
    running = start(home, tmp_path, "long.mp4", "--json", "-")
    assert running.stdout is not None
    assert running.stderr is not None
    assert json.loads(running.stdout.readline())["index"] == 0
    running.stdout.close()
    messages = running.stderr.read()
    assert running.wait(60) == 1
    assert "Traceback" not in messages
    assert "Exception ignored" not in messages
    running.stderr.close()
