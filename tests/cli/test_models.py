from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keyact import weights

Invoke = Callable[..., Any]


def test_the_table_lists_bundled_and_own_models(invoke: Invoke, home: Path) -> None:
    done = invoke("models")
    assert done.exit_code == 0
    for entry in weights.entries():
        assert entry.name in done.stdout
    row = next(line for line in done.stdout.splitlines() if "tiny-detector" in line)
    digest = hashlib.sha256((home / "models" / "detector.onnx").read_bytes()).hexdigest()
    assert digest[:12] in row
    assert "finds red" in row
    assert "user" in row
    assert str(home / "models") in done.stdout


def test_json_has_the_same_with_paths(invoke: Invoke, home: Path) -> None:
    done = invoke("models", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {entry.name for entry in weights.entries()}
    pose = rows["tiny-pose"]
    assert (pose["kind"], pose["source"], pose["default"]) == ("pose", "user", False)
    path = Path(pose["path"])
    assert path == home / "models" / "pose.onnx"
    assert pose["bytes"] == path.stat().st_size
    assert pose["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_not_a_model_is_left_out(invoke: Invoke, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.onnx").write_bytes(b"not a network")
    monkeypatch.setenv("KEYACT_HOME", str(tmp_path))
    done = invoke("models")
    assert done.exit_code == 0
    assert "broken" not in done.stdout
