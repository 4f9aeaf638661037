"""The wheel, in an empty environment and without a network: what a user gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from keyact import weights
from keyact.cli.demo import demo_photo
from keyact.results import FrameResult

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[1]
NO_SOCKETS = """
import socket

def refuse(*args, **kwargs):
    raise OSError("this test runs without a network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [str(part) for part in command], capture_output=True, text=True, timeout=900, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--wheel", "--outdir", out, REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs folder of an environment with the wheel and its dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    done = run(sys.executable, "-m", "venv", folder)
    assert done.returncode == 0, done.stderr
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    done = run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    assert done.returncode == 0, done.stderr
    return programs


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """What to put before a command, and the variables it gets, so that no address is reachable."""
    home = tmp_path_factory.mktemp("home")
    variables = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG", "LC_ALL")
    }
    variables |= {"HOME": str(home), "USERPROFILE": str(home), "KEYACT_HOME": str(home)}
    unshare = shutil.which("unshare")
    if unshare and run(unshare, "-rn", "true").returncode == 0:
        return [unshare, "-rn"], variables
    (home / "sitecustomize.py").write_text(NO_SOCKETS, "utf-8")
    return [], {**variables, "PYTHONPATH": str(home)}


def test_the_wheel_carries_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = [
        *(path for path in (REPOSITORY / "src" / "keyact").rglob("*.json")),
        *(
            path
            for entry in weights.entries()
            if entry.source == "bundled"
            for path in (entry.path, entry.card)
            if path is not None
        ),
        REPOSITORY / "src" / "keyact" / "py.typed",
    ]
    expected = {path.relative_to(REPOSITORY / "src").as_posix() for path in data}
    assert not expected - names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        roots = {name.split("/")[0].split("-")[0] for name in archive.namelist()}
    assert roots == {"keyact"}


def test_no_network_is_no_network(
    environment: Path, offline: tuple[list[str], dict[str, str]]
) -> None:
    before, variables = offline
    code = "import socket; socket.create_connection(('127.0.0.1', 9), 2)"
    done = run(*before, environment / "python", "-c", code, env=variables)
    assert done.returncode != 0
    assert "refused" not in done.stderr.lower(), "the loopback answered, so there is a network"


def test_installing_brings_only_what_recognising_needs(environment: Path) -> None:
    done = run(environment / "python", "-m", "pip", "list", "--format", "json")
    installed = {package["name"].lower() for package in json.loads(done.stdout)}
    assert "opencv-python-headless" in installed
    unwanted = {"opencv-python", "opencv-contrib-python", "tensorflow", "keras", "torch"}
    assert not installed & (unwanted | {"scikit-learn", "pandas", "onnx", "pytest"})


def test_demo_runs_without_a_network(
    environment: Path, offline: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    before, variables = offline
    done = run(*before, environment / "keyact", "demo", "--json", cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stderr
    result = FrameResult.from_json(done.stdout)

    photo = cv2.imread(str(demo_photo()))
    height, width = photo.shape[:2]
    assert (result.width, result.height) == (width, height)
    assert not result.image_only
    person = max(result.people, key=lambda person: person.box_score)
    x1, y1, x2, y2 = person.box
    assert (x2 - x1) * (y2 - y1) > 0.25 * width * height  # she fills the photo
    nose = person.keypoints[0]
    # The face is in the upper middle of this portrait.
    assert 0.35 * width < nose[0] < 0.65 * width
    assert 0.15 * height < nose[1] < 0.5 * height
    assert len(person.actions) == len(result.image_actions) == 5
    assert set(result.timings_ms) == {"decode", "detect", "pose", "action", "total"}

    assert [path.name for path in tmp_path.iterdir()] == ["keyact-demo.jpg"]
    picture = cv2.imread(str(tmp_path / "keyact-demo.jpg"))
    assert picture.shape == photo.shape
    changed = (np.abs(picture.astype(int) - photo).max(2) > 40).mean()
    assert 0.002 < changed < 0.5  # lines and a label, on a photo that can still be seen


def test_info_verifies_the_installed_weights(
    environment: Path, offline: tuple[list[str], dict[str, str]]
) -> None:
    before, variables = offline
    done = run(*before, environment / "keyact", "info", "--json", env=variables)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["weights"]
    assert {row["kind"] for row in rows} == {"detector", "pose", "action", "sequence"}
    assert all(row["verified"] for row in rows)
