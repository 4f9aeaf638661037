"""`keyact serve` as a process: wrong options, and an end that loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from serve_case import encoded
from typer.testing import CliRunner

from keyact.cli import app


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--host", "0.0.0.0"], 2, "set a token"),
        (["--token", "short"], 2, "at least 16"),
        (["--origin", "*"], 2, "no origin"),
        (["--model", "keypoint-fusoin"], 2, "did you mean 'keypoint-fusion'"),
        (["--model", "/no/such/file.onnx"], 1, "/no/such/file.onnx"),
        (["--workers", "0"], 2, "workers"),
        (["--log", "xml"], 2, "log"),
    ],
)
def test_wrong_options(arguments: list[str], status: int, text: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", *arguments])
    assert result.exit_code == status
    assert text in result.output
    assert "Traceback" not in result.output


def test_a_port_that_is_taken(networks: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert "--port" in result.output


def test_a_token_in_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYACT_TOKEN", "correct-horse-battery")
    result = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--detector", "no-such"])
    assert "unknown detector" in result.output  # the token was fine


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_sigterm_answers_what_is_in_progress(networks: dict[str, Any], clip: Path) -> None:
    arguments = [
        sys.executable, "-m", "keyact", "serve", "--port", "0", "--log", "json",
        "--model", networks["models"][0], "--pose", networks["poses"][0],
        "--detector", networks["detector"], "--workers", "1",
    ]  # fmt: skip
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        (address,) = re.findall(r"http://\S+", first)
        rest: list[str] = []
        reader = threading.Thread(target=lambda: rest.extend(process.stderr or ()))
        reader.start()
        assert urllib.request.urlopen(f"{address}/v2/health/ready", timeout=60).status == 200

        request = urllib.request.Request(
            f"{address}/v1/predict?output=lines", clip.read_bytes(), method="POST"
        )
        answer = urllib.request.urlopen(request, timeout=120)
        lines = [answer.readline()]  # it is in the middle of the clip
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(
                urllib.request.Request(f"{address}/v1/predict", encoded()), timeout=10
            )
        lines += answer.readlines()
        assert process.wait(60) == 0
        reader.join(30)
    assert len(lines) == 25
    assert json.loads(lines[-1])["people"]
    assert all(json.loads(line)["level"] for line in rest)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyact.cli.serve._NEEDS", ("uvicorn", "no_such_module"))
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 1
    assert "needs no_such_module: python -m pip install 'keyact[serve]'" in result.output
