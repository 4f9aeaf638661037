from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyact.cli import demo
from keyact.media import load_image
from keyact.results import FrameResult

TINY = ("--model", "tiny-action", "--pose", "tiny-pose", "--detector", "whole-image")

Invoke = Callable[..., Any]


def test_the_photo_is_there_without_importing_its_package() -> None:
    assert load_image(demo.demo_photo()).shape == (600, 512, 3)


def test_it_writes_an_annotated_picture_here(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("demo", *TINY)
    assert done.exit_code == 0
    assert "grace_hopper.jpg" in done.stdout
    picture = load_image(tmp_path / "keyact-demo.jpg")
    photo = load_image(demo.demo_photo())
    assert picture.shape == photo.shape
    assert np.abs(picture.astype(int) - photo).max() > 100  # lines on it


def test_json_and_place(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("demo", *TINY, "--json", "--out", "pictures/demo.png")
    result = FrameResult.from_json(done.stdout)
    assert (result.source, result.width, result.height) == ("grace_hopper.jpg", 512, 600)
    assert [person.box for person in result.people] == [(0, 0, 512, 600)]
    assert (tmp_path / "pictures" / "demo.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--out", "demo.txt"), 1, "demo.txt"),
        (("--pose", "tiny-poes"), 2, "tiny-pose"),
    ],
)
def test_errors_are_one_line(
    invoke: Invoke, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = invoke("demo", *TINY, *arguments)
    assert done.exit_code == status
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_a_build_without_the_photo_says_what_to_do(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyact.cli.demo._PHOTO", Path("gone.jpg"))
    done = invoke("demo", *TINY)
    assert done.exit_code == 1
    assert "keyact predict" in done.stderr
