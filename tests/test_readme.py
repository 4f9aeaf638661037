"""What the README tells people to type is typed here."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from keyact.cli.demo import demo_photo
from keyact.results import FrameResult

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")


def block(mark: str) -> str:
    """The code between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    pattern = rf"<!-- {mark} -->\n```\w+\n(.*?)```\n<!-- /{mark} -->"
    (code,) = re.findall(pattern, README, re.DOTALL)
    return str(code)


def keyact(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(line)
    assert program == "keyact"
    return subprocess.run(
        [sys.executable, "-m", "keyact", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a reader of the README has it: photo.jpg and my-photos."""
    shutil.copy(demo_photo(), tmp_path / "photo.jpg")
    (tmp_path / "my-photos").mkdir()
    shutil.copy(demo_photo(), tmp_path / "my-photos" / "one.jpg")
    return tmp_path


def test_the_main_command(folder: Path) -> None:
    (line,) = block("main-command").splitlines()
    install, recognise = line.split(" && ")
    assert install == "python -m pip install ."  # test_wheel.py installs
    done = keyact(recognise, folder)
    assert done.returncode == 0, done.stderr
    assert "one.jpg" in done.stdout
    assert (folder / "annotated" / "one.jpg").is_file()


def test_the_test_command_is_one_line_that_ends_in_pytest() -> None:
    (line,) = block("test-command").splitlines()
    assert line.split(" && ")[-1].startswith("pytest")


def test_ci_reads_the_test_command() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    (extract,) = re.findall(r"^test_command=\$\((.*)\)$", script, re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", extract], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == block("test-command")


def test_the_python_example(folder: Path) -> None:
    code = block("python-example")
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 1  # one line per person


@pytest.mark.parametrize("line", block("commands").splitlines())
def test_each_command(folder: Path, line: str) -> None:
    done = keyact(line, folder)
    assert done.returncode == 0, done.stderr
    if "--json -" in line:
        (row,) = done.stdout.splitlines()
        assert FrameResult.from_json(row).source
    for name in re.findall(r"\S+\.jsonl", line):
        for row in (folder / name).read_text("utf-8").splitlines():
            assert FrameResult.from_json(row).people
    for name in re.findall(r"\S+\.csv", line):
        with (folder / name).open(newline="", encoding="utf-8") as file:
            assert list(csv.DictReader(file))
    for name in re.findall(r"--out (\S+)", line):
        assert (folder / name).is_file()


@pytest.mark.slow
def test_the_commands_for_your_own_actions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(
        "tensorflow", reason="training needs the extra: pip install 'keyact[train]'"
    )
    monkeypatch.setenv("KEYACT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    rng = np.random.default_rng(0)
    photo = cv2.imread(str(demo_photo()))
    for label, turn in (("upright", None), ("upside-down", cv2.ROTATE_180)):
        (folder / "my-data" / label).mkdir(parents=True)
        for number in range(12):
            top, left = rng.integers(0, 60, 2)
            view = photo[top : top + 500, left : left + 450]
            view = view if turn is None else cv2.rotate(view, turn)
            view = np.clip(view * rng.uniform(0.6, 1.3, 3), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / "my-data" / label / f"{number}.jpg"), view)
    for line in block("lab-commands").splitlines():
        done = keyact(line, folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for written in ("sheet.jpg", "runs/first/model.onnx", "evaluation/evaluation.json", "why"):
        assert (folder / written).exists(), written


def test_the_figures_are_those_of_the_result_files() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/readme.py", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (REPOSITORY / document).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target
