"""What docs/serving.md tells people to type is typed here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_case import running

from keyact.cli.demo import demo_photo
from keyact.results import FrameResult
from keyact.timeline import VideoTimeline

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text("utf-8")
ADDRESS = "127.0.0.1:8000"


def block(mark: str) -> str:
    (code,) = re.findall(rf"<!-- {mark} -->\n```\w+\n(.*?)```\n<!-- /{mark} -->", TEXT, re.DOTALL)
    return str(code)


@pytest.fixture(scope="module")
def shipped() -> Iterator[str]:
    """A server with the networks that keyact ships."""
    with running(log="off", timeout=300) as (address, _):
        yield address


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Path:
    shutil.copy(demo_photo(), tmp_path / "photo.jpg")
    shutil.copy(clip, tmp_path / "clip.mp4")
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("line", block("curl").splitlines())
def test_each_curl_command(shipped: str, folder: Path, line: str) -> None:
    command = line.replace(f"http://{ADDRESS}", shipped).replace("curl ", "curl --fail ", 1)
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    written = re.findall(r" -o (\S+)", line)
    if written:
        assert (folder / written[0]).stat().st_size > 1000
    elif "output=lines" in line:
        *frames, last = done.stdout.splitlines()
        assert [FrameResult.from_json(one).index for one in frames] == [0, 5, 10, 15, 20]
        assert VideoTimeline.from_json(last)
    elif "/v1/predict" in line:
        assert FrameResult.from_json(done.stdout.strip()).people
    else:
        assert json.loads(done.stdout)


def test_the_triton_example(shipped: str, folder: Path) -> None:
    pytest.importorskip("tritonclient.http", reason="needs: pip install tritonclient[http]")
    code = block("triton").replace(ADDRESS, shipped.removeprefix("http://"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[")
