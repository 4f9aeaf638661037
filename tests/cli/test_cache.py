"""``keyact cache``: what it shows and what it removes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors")

from keyact.data.store import ArrayStore, content_hash


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("KEYACT_CACHE", str(root))
    for kind, model, count in (("people", "fast", 2), ("features", "mobile", 3)):
        store = ArrayStore(root, kind, {"network": {"name": model, "sha256": "0"}})
        for i in range(count):
            store.put_many({content_hash(bytes([i])): {"x": np.zeros(250, np.float32)}})
    os.utime(store.folder / "settings.json", (1e9, 1e9))
    for path in store.folder.glob("*.safetensors"):
        os.utime(path, (1e9, 1e9))
    return root


def test_an_empty_cache(invoke, tmp_path: Path) -> None:
    done = invoke("cache", "--cache", tmp_path / "none")
    assert done.exit_code == 0 and f"0 bytes in {tmp_path / 'none'}" in done.stdout
    assert invoke("cache", "prune", "--all", "--cache", tmp_path / "none").exit_code == 0


def test_what_is_there(invoke, cache: Path) -> None:
    done = invoke("cache")
    people, features = (line.split() for line in done.stdout.splitlines()[1:3])
    assert people[:3] == ["people", "fast", "2"] and "now" in people
    assert features[:3] == ["features", "mobile", "3"] and "days" in features
    report = json.loads(invoke("cache", "--json").stdout)
    assert report["root"] == str(cache)
    assert [(row["models"], row["entries"], row["shards"]) for row in report["stores"]] == [
        (["fast"], 2, 2),
        (["mobile"], 3, 3),
    ]
    total = sum(path.stat().st_size for path in cache.rglob("*.safetensors"))
    assert sum(row["bytes"] for row in report["stores"]) == total


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--unused", "30"), ["people"]),
        (("--unused", "20000"), ["features", "people"]),
        (("--model", "fast"), ["features"]),
        (("--max-size", "2.5kB"), ["people"]),
        (("--max-size", "1GB"), ["features", "people"]),
        (("--max-size", "0"), []),
        (("--all",), []),
        (("--all", "--dry-run"), ["features", "people"]),
    ],
)
def test_pruning(options: tuple[str, ...], left: list[str], invoke, cache: Path) -> None:
    done = invoke("cache", "prune", *options)
    assert done.exit_code == 0, done.stderr
    assert "would remove" in done.stdout or "removed" in done.stdout
    assert sorted(folder.name.rpartition("-")[0] for folder in cache.iterdir()) == left


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say what to remove"),
        (("--max-size", "many"), "'many' is no size"),
        (("--model", "fats"), "did you mean 'fast'"),
    ],
)
def test_wrong_options(options: tuple[str, ...], said: str, invoke, cache: Path) -> None:
    done = invoke("cache", "prune", *options)
    assert done.exit_code == 2 and said in done.stderr.replace("\n", " ")
    assert len(list(cache.rglob("*.safetensors"))) == 5
