"""``keyact live`` with tiny networks, in this process and as a process that is ended by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_case import MjpegServer, sizes_and_times, write_clip
from onnx_models import make_sequence
from PIL import Image

from keyact.results import FrameResult

TINY = ("--model", "tiny-action", "--pose", "tiny-pose", "--detector", "tiny-detector",
        "--threads", "1", "--sequence", "none")  # fmt: skip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A red person who walks for two seconds."""
    return write_clip(tmp_path / "walk.mp4")


def results(path: str) -> list[FrameResult]:
    return [FrameResult.from_json(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_a_file_to_every_output(invoke: Any, clip: Path) -> None:
    code = "import sys; open('told', 'a').write(sys.stdin.read())"
    done = invoke(
        "live", clip, *TINY, "--json", "r.jsonl", "--save", "out/walk.mp4", "--summary", "s.json",
        "--on", "red > 10%", "--events", "e.jsonl", "--run", f'"{sys.executable}" -I -c "{code}"',
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    frames = results("r.jsonl")
    assert [frame.index for frame in frames] == list(range(20))
    assert {person.track_id for frame in frames[1:] for person in frame.people} == {1}
    assert frames[-1].people[0].settled == "red"
    sizes, times = sizes_and_times(Path("out/walk.mp4"))
    assert sizes == [(128, 96)] * 20
    assert times == pytest.approx([number / 10 for number in range(20)], abs=0.002)
    (event,) = map(json.loads, Path("e.jsonl").read_text().splitlines())
    assert (event["label"], event["track_id"], event["rule"]) == ("red", 1, "red>0.1")
    assert json.loads(Path("told").read_text()) == event
    summary = json.loads(Path("s.json").read_text())
    (source,) = summary["sources"]
    assert (source["frames"], source["dropped"], source["people"]) == (20, 0, 1)
    assert summary["events"] == {
        "fired": 1, "run": {"delivered": 1, "failed": 0, "dropped": 0}
    }  # fmt: skip
    for text in ("#1 red", "walk.mp4", "1 events; --run: 1 delivered", "Wrote out/walk.mp4"):
        assert text in done.stderr
    assert done.stdout == ""


def test_several_sources_to_stdout_and_a_folder(invoke: Any, clip: Path, tmp_path: Path) -> None:
    write_clip(Path("other.mp4"), 5)
    Path("photos").mkdir()
    Image.fromarray(np.full((40, 40, 3), 200, np.uint8)).save("photos/a.png")
    Path("photos/b.png").write_bytes(b"nothing")
    done = invoke(
        "live", clip, "other.mp4", "photos", *TINY, "--json", "-", "--save", "copies"
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    frames = [FrameResult.from_json(line) for line in done.stdout.splitlines()]
    assert sorted((Path(f.source).name, f.index) for f in frames) == sorted(
        [("walk.mp4", n) for n in range(20)] + [("other.mp4", n) for n in range(5)] + [("a.png", 0)]
    )
    assert sorted(p.name for p in Path("copies").iterdir()) == [
        "other.mp4", "photos.mp4", "walk.mp4"
    ]  # fmt: skip
    assert "b.png" in done.stderr


def test_a_network_camera_whose_size_changes(invoke: Any) -> None:
    with MjpegServer([[(128, 96)] * 25, [(64, 48)] * 200]) as camera:
        done = invoke(
            "live", camera.address, "--allow-network", *TINY, "--json", "r.jsonl",
            "--save", "cam.mkv", "--seconds", "5", "--summary", "s.json",
        )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert {frame.width for frame in results("r.jsonl")} == {128, 64}
    sizes, times = sizes_and_times(Path("cam.mkv"))
    assert set(sizes) == {(128, 96)} and len(times) == len(results("r.jsonl"))
    assert json.loads(Path("s.json").read_text())["sources"][0]["reconnects"] >= 1
    assert "secret" not in done.stderr + Path("s.json").read_text() + Path("r.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["rtsp://cam/1", "--json", "r.jsonl"], 1, "add --allow-network"),
        (["missing.mp4", "--json", "r.jsonl"], 1, "no such file or folder"),
        (["walk.mp4", "--on", "red", "--json", "r.jsonl"], 2, "a rule is an action"),
        (["walk.mp4", "--on", "red>2"], 2, "never fires"),
        (["walk.mp4", "--on", "rad>.5", "--json", "r.jsonl"], 2, "did you mean 'red'"),
        (["walk.mp4", "--run", "true"], 2, "need a rule"),
        (["walk.mp4", "--on", "red>.5", "--run", "no-such-program"], 1, "there is no program"),
        (["walk.mp4", "--on", "red>.5", "--webhook", "ftp://x"], 1, "a webhook is an http"),
        (["walk.mp4", "--json", "-", "--on", "red>.5", "--events", "-"], 2, "only one of"),
        (["walk.mp4", "walk.mp4", "--save", "x.mp4"], 2, "give a folder"),
        (["walk.mp4"], 1, "use --save out.mp4"),
        (["walk.mp4", "--show", "--json", "r.jsonl"], 1, "use --save out.mp4"),
        (["walk.mp4", "--no-show"], 2, "nothing to do"),
        (["walk.mp4", "--model", "nothing", "--json", "r.jsonl"], 2, "unknown action model"),
    ],
)
def test_wrong_options_cost_no_file(
    invoke: Any,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.setenv("DISPLAY", ":99999")
    Path("r.jsonl").write_text("old")
    tiny = TINY if "--model" not in arguments else TINY[2:]
    done = invoke("live", *arguments, *tiny)
    assert done.exit_code == status, done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert Path("r.jsonl").read_text() == "old"


def test_a_sequence_network_alone(invoke: Any, clip: Path) -> None:
    make_sequence(Path("own.onnx"), labels=("arms up", "arms down"), unknown_threshold=0.0)
    done = invoke("live", clip, "--model", "own.onnx", *TINY[2:-2], "--json", "r.jsonl",
                  "--on", "arms down>=0", "--events", "-")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert {p.settled for frame in results("r.jsonl") for p in frame.people} <= {
        "unknown", "arms up", "arms down"
    }  # fmt: skip
    assert json.loads(done.stdout)["label"] == "arms down"
    done = invoke("live", clip, "--model", "own.onnx", "--sequence", "own.onnx", "--json", "-")
    assert done.exit_code == 2 and "leave --sequence" in done.stderr


def test_a_source_that_fails_on_the_way_is_status_1(invoke: Any, clip: Path) -> None:
    broken = Path("broken.mpg")
    write_clip(broken, 20, 25, codec="mpeg2video")
    clip.write_bytes(clip.read_bytes()[:3000])
    done = invoke("live", clip, broken, *TINY, "--json", "r.jsonl")
    assert done.exit_code == 1 and "walk.mp4" in done.stderr
    assert {Path(frame.source).name for frame in results("r.jsonl")} >= {"broken.mpg"}


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_signals_end_it_with_every_file_complete(home: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", frames=600)
    started = []
    for name in ("INT", "TERM"):
        folder = tmp_path / name
        folder.mkdir()
        command = [
            sys.executable, "-m", "keyact", "live", str(tmp_path / "long.mp4"), "--realtime", *TINY,
            "--save", "out.mp4", "--json", "out.jsonl", "--summary", "out.json",
        ]  # fmt: skip
        started.append(
            subprocess.Popen(
                command,
                cwd=folder,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"KEYACT_HOME": str(home), "OMP_NUM_THREADS": "1"},
            )
        )
    for name, process in zip(("INT", "TERM"), started, strict=True):
        lines = tmp_path / name / "out.jsonl"
        end = time.monotonic() + 120
        while not lines.exists() or lines.read_text().count("\n") < 4:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(getattr(signal, f"SIG{name}"))
    for name, process in zip(("INT", "TERM"), started, strict=True):
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        frames = results(str(tmp_path / name / "out.jsonl"))
        _, times = sizes_and_times(tmp_path / name / "out.mp4")
        assert len(times) == len(frames) >= 4
        summary = json.loads((tmp_path / name / "out.json").read_text())
        assert summary["sources"][0]["frames"] == len(frames) < 600
        assert not [p for p in (tmp_path / name).iterdir() if ".part" in p.name]
        assert "Wrote out.mp4" in stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_a_second_signal_ends_it_at_once() -> None:
    code = (
        "import time\n"
        "from keyact.cli.terminal import asked_to_stop\n"
        "with asked_to_stop() as asked:\n"
        "    print('ready', flush=True)\n"
        "    while not asked: time.sleep(0.01)\n"
        "    print('asked', flush=True)\n"
        "    time.sleep(120)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for expected in ("ready", "asked"):
        assert process.stdout.readline().strip() == expected
        process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
