"""Tiny networks and pictures, so that the commands run whatever weights are bundled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import make_action, make_detector, make_pose
from PIL import Image
from typer.testing import CliRunner

from keyact.cli import app

Invoke = Callable[..., Any]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for KEYACT_HOME with one network of each kind."""
    folder = tmp_path_factory.mktemp("home")
    models = folder / "models"
    models.mkdir()
    make_detector(models / "detector.onnx", summary="finds red")
    make_pose(models / "pose.onnx")
    make_action(models / "action.onnx", crop_margin=1.3, unknown_threshold=0.1)
    return folder


@pytest.fixture
def invoke(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    """Run the command in an empty folder; gives exit_code, stdout and stderr."""
    monkeypatch.setenv("KEYACT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo with one person, as far as the tiny detector can tell."""
    path = tmp_path / "one.png"
    pixels = np.full((96, 128, 3), 200, np.uint8)
    pixels[20:80, 40:90] = (230, 30, 30)
    Image.fromarray(pixels).save(path)
    return path
