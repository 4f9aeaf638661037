from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyact import pose
from keyact.formats import read
from keyact.pose.alphapose.network import Architecture, tensor_shapes

Invoke = Callable[..., Any]


def hollow(joints: int = 17) -> dict[str, Any]:
    """A network of zeros in a small file."""
    torch = pytest.importorskip("torch")
    shapes = tensor_shapes(Architecture(50, 128, joints))
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def test_convert(invoke: Invoke, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(hollow(), tmp_path / "fast.pth")
    done = invoke("alphapose", "convert", "fast.pth", "-o", "mine.onnx", "--input", "128x96")
    assert done.exit_code == 0, done.stderr
    assert "ResNet-50, 17 joints (coco17), heatmap head, input 128x96" in done.stdout
    assert "--pose alphapose:mine.onnx" in done.stdout
    assert pose.load(f"alphapose:{tmp_path / 'mine.onnx'}").layout == "coco17"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.pth"], 1, "none.pth: cannot be read"),
        (["text.pth"], 1, "text.pth: not a checkpoint of tensors alone"),
        (["halpe.pth"], 1, "--head regression"),
        (["halpe.pth", "--head", "regresion"], 2, "did you mean 'regression'"),
        (["halpe.pth", "--head", "heatmap", "--layout", "coco17"], 1, "136 joints"),
        (["halpe.pth", "--input", "256"], 2, "HEIGHTxWIDTH"),
        (["halpe.pth", "--input", "250x192"], 1, "multiples of 32"),
        (["halpe.pth", "-o", "out.bin"], 1, "must end in .onnx"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    invoke: Invoke, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "text.pth").write_text("no network")
    torch.save(hollow(136), tmp_path / "halpe.pth")
    before = sorted(tmp_path.iterdir())
    done = invoke("alphapose", "convert", *arguments)
    assert done.exit_code == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if status == 1:
        assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_without_torch(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = invoke("alphapose", "convert", "fast.pth")
    assert done.exit_code == 1
    assert done.stderr.strip().endswith("pip install 'keyact[torch]'")
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_says_how_the_head_is_chosen(invoke: Invoke) -> None:
    done = invoke("alphapose", "convert", "--help")
    assert done.exit_code == 0
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "heatmap, regression (LOSS TYPE" in text and "L1JointRegression" in text


def test_the_photo_command_names_the_conversion(invoke: Invoke, photo: Path) -> None:
    done = invoke("predict", photo, "--pose", "alphapose:fast.pth", "--detector", "tiny-detector",
                  "--model", "tiny-action")  # fmt: skip
    assert done.exit_code == 1
    assert "keyact alphapose convert fast.pth -o fastpose.onnx" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "file", "joints"),
    [
        (["--save-alphapose", "r.json"], "r.json", 17),
        (["--save-alphapose", "r.json", "--alphapose-format", "open"], "r.json", 18),
        (["--save-alphapose", "sep-json"], "sep-json/one.json", 17),
        (["--save-alphapose", "sep-json", "--alphapose-format", "cmu"], "sep-json/one.json", 18),
    ],
)
def test_every_form_is_written_and_read_back(
    invoke: Invoke, photo: Path, tmp_path: Path, arguments: list[str], file: str, joints: int
) -> None:
    done = invoke("predict", photo, *arguments, "--pose", "tiny-pose",
                  "--detector", "tiny-detector", "--model", "tiny-action")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (found,) = read("alphapose", tmp_path / file)
    assert found.image in ("one.png", "one") and len(found.people) == 1
    assert len(found.people[0].keypoints) == joints
    done = invoke("import", "alphapose", tmp_path / file, "--images", photo.parent)
    assert done.exit_code == 0 and "1 photos, 1 people" in done.stdout


def test_a_form_that_there_is_not(invoke: Invoke, photo: Path) -> None:
    done = invoke("predict", photo, "--save-alphapose", "r.json", "--alphapose-format", "coco")
    assert done.exit_code == 2 and "'open'" in done.stderr
