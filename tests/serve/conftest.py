"""A server with tiny networks: in the process, or listening on a free port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra: pip install 'keyact[serve]'")

from onnx_models import make_action, make_detector, make_pose, make_sequence
from serve_case import LABELS, picture, running

from keyact.outputs import VideoWriter


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings that choose the tiny networks."""
    folder = tmp_path_factory.mktemp("networks")
    make_detector(folder / "tiny-detector.onnx")
    make_pose(folder / "tiny-pose.onnx")
    make_action(folder / "tiny-action.onnx", LABELS, crop_margin=1.3, unknown_threshold=0.1)
    make_action(folder / "other-action.onnx", ("up", "down"), crop_margin=1.3, name="other-action")
    return {
        "models": (str(folder / "tiny-action.onnx"), str(folder / "other-action.onnx")),
        "poses": (str(folder / "tiny-pose.onnx"),),
        "detector": str(folder / "tiny-detector.onnx"),
        "sequence": "none",
        "log": "off",
    }


@pytest.fixture(scope="session")
def moving(networks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same with a sequence network that says arms_up of whoever has no arms to see."""
    path = tmp_path_factory.mktemp("moving") / "tiny-sequence.onnx"
    make_sequence(path, ("arms_up", "arms_down"), unknown_threshold=0.2)
    return {**networks, "sequence": str(path)}


@pytest.fixture(scope="session")
def live(networks: dict[str, Any]) -> Iterator[str]:
    """Address of a server with tiny networks."""
    with running(**networks) as (where, _):
        yield where


@pytest.fixture
def start(networks: dict[str, Any]) -> Iterator[Callable[..., tuple[str, Any]]]:
    """Starts servers with further settings; gives address and service of each."""
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(running(**{**networks, **more}))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 24 frames, a person walking to the right."""
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    with VideoWriter(path, 12) as out:
        for i in range(24):
            out.write(np.ascontiguousarray(picture(i)[..., ::-1]))
    return path
