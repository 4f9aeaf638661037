from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keyact import detect, pose, weights

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
    listed = json.loads(done.stdout)
    rows = {row["name"]: row for row in listed if row["source"] != "backend"}
    assert set(rows) == {entry.name for entry in weights.entries()}
    row = rows["tiny-pose"]
    assert (row["kind"], row["source"], row["default"]) == ("pose", "user", False)
    path = Path(row["path"])
    assert path == home / "models" / "pose.onnx"
    assert row["bytes"] == path.stat().st_size
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {tuple(row) for row in listed} == {tuple(listed[0])}


def test_backends_are_listed_with_what_they_need(invoke: Invoke, monkeypatch: Any) -> None:
    monkeypatch.setattr("keyact.backends.find_spec", lambda package: None)
    done = invoke("models")
    listed = json.loads(invoke("models", "--json").stdout)
    for kind, backends in (("pose", pose.BACKENDS), ("detector", detect.BACKENDS)):
        rows = {r["name"]: r for r in listed if (r["kind"], r["source"]) == (kind, "backend")}
        assert set(rows) == set(backends)
        for name, backend in backends.items():
            (line,) = [ln for ln in done.stdout.splitlines() if f"{kind} {backend.form} " in
                       " ".join(ln.split())]  # fmt: skip
            assert (f"pip install 'keyact[{backend.extra}]'" in line) is bool(backend.package)
            assert rows[name]["installed"] is (backend.package is None)


def test_what_is_not_a_model_is_left_out(invoke: Invoke, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.onnx").write_bytes(b"not a network")
    monkeypatch.setenv("KEYACT_HOME", str(tmp_path))
    done = invoke("models")
    assert done.exit_code == 0
    assert "broken" not in done.stdout
