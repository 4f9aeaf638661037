"""A labelled photo set that the tiny networks can be right and wrong about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_action, make_detector, make_pose
from PIL import Image

from keyact.data import Dataset, load_dataset

pytest.importorskip("sklearn", reason="the extra train is not installed")

TINY = {"detector": "tiny-detector", "pose": "tiny-pose"}


@dataclass(frozen=True)
class Photos:
    """Folders ``red`` (a person each), ``green`` and ``blue`` (nobody), and what is wrong: one
    blue photo lies in ``green``."""

    root: Path
    dataset: Dataset
    mislabelled: Path


def paint(path: Path, colour: tuple[int, int, int], person: bool = False, seed: int = 0) -> Path:
    """A photo of one colour with a little noise; the person is a red rectangle."""
    rng = np.random.default_rng(seed)
    pixels = np.full((96, 128, 3), colour, np.int16) + rng.integers(-8, 9, (96, 128, 3))
    if person:
        pixels[20:80, 40:90] = (230, 30, 30)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for KEYACT_HOME with one network of each kind."""
    folder = tmp_path_factory.mktemp("home")
    models = folder / "models"
    models.mkdir()
    make_detector(models / "detector.onnx")
    make_pose(models / "pose.onnx")
    make_action(models / "action.onnx", crop_margin=1.3, unknown_threshold=0.1)
    return folder


@pytest.fixture(autouse=True)
def places(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEYACT_HOME", str(home))
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path / "keyact-cache"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    root = tmp_path_factory.mktemp("photos")
    for i in range(4):
        paint(root / "red" / f"{i}.png", (120, 120, 120), person=True, seed=i)
        paint(root / "green" / f"{i}.png", (40, 200, 40), seed=10 + i)
        paint(root / "blue" / f"{i}.png", (40, 40, 200), seed=20 + i)
    wrong = paint(root / "green" / "wrong.png", (40, 40, 200), seed=30)
    return Photos(root, load_dataset(root), wrong)
