"""The cache on disk: what was written stays, whoever is killed and whoever else writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

pytest.importorskip("safetensors")

from keyact.data.features import FeatureCache
from keyact.data.pruning import cached, prune
from keyact.data.store import ArrayStore, cache_dir, content_hash
from keyact.errors import InputError, KeyactError

SETTINGS = {"backbone": {"name": "mobilenetv2", "sha256": "ab"}, "size": 224}


def key(number: int) -> str:
    return content_hash(str(number).encode())


def filled(root: Path, count: int = 3, **changes: object) -> ArrayStore:
    store = ArrayStore(root, "features", {**SETTINGS, **changes})
    for i in range(count):
        store.put_many({key(i): {"x": np.full(100, i, np.float32)}})
    return store


@settings(max_examples=30, deadline=None)
@given(
    nps.arrays(
        st.sampled_from([np.float32, np.float16, np.uint8, np.int64, np.bool_]),
        nps.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    )
)
def test_arrays_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, array) -> None:
    root = tmp_path_factory.mktemp("cache")
    ArrayStore(root, "features", {}).put_many({key(1): {"a": array, "b": array.T}})
    found = ArrayStore(root, "features", {}).get(key(1))
    assert found is not None
    for name, value in (("a", array), ("b", array.T)):
        assert found[name].dtype == array.dtype and found[name].shape == value.shape
        assert found[name].tobytes() == value.tobytes()
        assert found[name].flags.writeable or not found[name].size


def test_other_settings_are_another_store(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert len(store) == 3 and key(0) in store
    assert len(ArrayStore(tmp_path, "features", dict(reversed(SETTINGS.items())))) == 3
    for other in ({**SETTINGS, "size": 192}, {}, {**SETTINGS, "backbone": {"sha256": "cd"}}):
        assert len(ArrayStore(tmp_path, "features", other)) == 0
    assert len(ArrayStore(tmp_path, "people", SETTINGS)) == 0


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "header"])
def test_a_damaged_shard_is_left_out(damage: str, tmp_path: Path, caplog) -> None:
    folder = filled(tmp_path).folder
    shard = next(
        path for path in folder.glob("*.safetensors") if key(1).encode() in path.read_bytes()
    )
    data = shard.read_bytes()
    shard.write_bytes(
        {"cut": data[:-9], "empty": b"", "text": b"hello, world", "header": b"\xff" * 50}[damage]
    )
    store = ArrayStore(tmp_path, "features", SETTINGS)
    assert store.get(key(1)) is None and store.get(key(2)) is not None
    assert shard.name in caplog.text
    store.put_many({key(1): {"x": np.zeros(1)}})
    assert ArrayStore(tmp_path, "features", SETTINGS).get(key(1)) is not None


def test_a_shard_that_is_pruned_meanwhile_is_missing_not_an_error(tmp_path: Path) -> None:
    store = filled(tmp_path)
    prune(tmp_path, everything=True)
    assert store.get(key(0)) is None and key(0) not in store
    store.put_many({key(0): {"x": np.zeros(1)}})
    assert store.get(key(0)) is not None


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = ArrayStore(tmp_path / "file", "features", {})
    with pytest.raises(KeyactError, match="KEYACT_CACHE"):
        store.put_many({key(0): {"x": np.zeros(1)}})


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("KEYACT_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "keyact"


class Doubler:
    """Computes twice the number; refuses 7."""

    def __init__(self, items: Sequence[int]) -> None:
        self.items = items
        self.calls: list[list[int]] = []

    def __call__(self, chosen: Sequence[int]) -> list[Mapping[str, np.ndarray] | InputError]:
        self.calls.append([self.items[i] for i in chosen])
        return [
            InputError("seven") if self.items[i] == 7 else {"x": np.array([self.items[i] * 2 / 3])}
            for i in chosen
        ]


def test_a_feature_is_computed_once_and_is_the_same_cold_and_warm(tmp_path: Path) -> None:
    items = [3, 1, 3, 7, 5, 1, 9]
    keys: list[str | InputError] = [key(i) for i in items]
    keys[4] = InputError("unreadable")
    seen = []
    for _ in range(2):
        compute = Doubler(items)
        cache = FeatureCache("features", SETTINGS, cache=tmp_path, batch=3, dtype=np.float16)
        found = list(cache.map(keys, compute))
        assert [str(found[3]), str(found[4])] == ["seven", "unreadable"]
        seen.append([f["x"].tolist() for i, f in enumerate(found) if i not in (3, 4)])
        assert all(f["x"].dtype == np.float16 for i, f in enumerate(found) if i not in (3, 4))
        calls = compute.calls
        if len(seen) == 1:
            assert calls == [[3, 1], [7], [9]]
    assert calls == [[7]]  # an error is not kept
    assert seen[0] == seen[1] == [[float(np.float16(i * 2 / 3))] for i in (3, 1, 3, 1, 9)]
    assert len(FeatureCache("features", SETTINGS, cache=tmp_path).store or ()) == 0  # no float16


def test_without_a_cache_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path / "none"))
    cache = FeatureCache("features", SETTINGS, cache=False)
    assert len(list(cache.map([key(1)], Doubler([1])))) == 1
    assert not (tmp_path / "none").exists()


CHILD = textwrap.dedent(
    """
    import sys, time
    import numpy as np
    from keyact.data.features import FeatureCache
    from keyact.data.store import content_hash

    root, log, count, batch, pause = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
    keys = [content_hash(str(i).encode()) for i in range(int(count))]

    def compute(chosen):
        found = []
        for i in chosen:
            with open(log, "a") as file:
                file.write(f"{i}\\n")
            time.sleep(pause)
            found.append({"x": np.full((50, 50), i, np.float32)})
        return found

    cache = FeatureCache("features", {"who": "child"}, cache=root, batch=int(batch))
    total = sum(int(arrays["x"][0, 0]) for arrays in cache.map(keys, compute))
    print(total)
    """
)


def child(root: Path, log: Path, count: int, batch: int, pause: float) -> subprocess.Popen[str]:
    arguments = [str(root), str(log), *(str(value) for value in (count, batch, pause))]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_run_repeats_one_batch_at_most(tmp_path: Path) -> None:
    count, batch = 60, 8
    root, log = tmp_path / "cache", tmp_path / "log"
    deaths = 0
    for stop_at in (13, 37):
        running = child(root, log, count, batch, pause=0.005)
        deadline = time.monotonic() + 60
        while len(log.read_text().split() if log.exists() else ()) < stop_at:
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        deaths += running.returncode == -signal.SIGKILL
    last = child(root, log, count, batch, pause=0)
    out, _ = last.communicate(timeout=60)
    assert deaths == 2 and last.returncode == 0
    assert int(out) == sum(range(count))
    computed = Counter(int(line) for line in log.read_text().split())
    assert set(computed) == set(range(count))
    repeated = sum(times - 1 for times in computed.values())
    assert repeated <= deaths * batch
    assert repeated < 13 + 37  # it did go on, and not begin again
    assert not prune(root, max_bytes=10**9).failed


def test_two_processes_at_once(tmp_path: Path) -> None:
    count = 40
    both = [child(tmp_path / "cache", tmp_path / f"log{i}", count, 4, 0.002) for i in range(2)]
    assert [int(one.communicate(timeout=60)[0]) for one in both] == [sum(range(count))] * 2
    store = ArrayStore(tmp_path / "cache", "features", {"who": "child"})
    assert len(store) == count
    for i in range(count):
        found = store.get(content_hash(str(i).encode()))
        assert found is not None and (found["x"] == i).all()


def test_what_the_cache_holds_and_pruning_by_each_condition(tmp_path: Path) -> None:
    filled(tmp_path)
    filled(tmp_path, count=2, backbone={"name": "other"}, size=96)
    (tmp_path / "mine.txt").write_text("not a store")
    (tmp_path / "features-abc").mkdir()
    infos = cached(tmp_path)
    assert [(info.kind, info.models, info.keys()) for info in infos] == [
        ("features", ("other",), 2),
        ("features", ("mobilenetv2",), 3),
    ]
    old = infos[1].folder
    for path in old.iterdir():
        os.utime(path, (1e9, 1e9))
    one = infos[1].shards[0][1]

    total = sum(info.bytes for info in infos)
    assert prune(tmp_path, max_bytes=total).files == 0
    dry = prune(tmp_path, max_bytes=total - 1, dry_run=True)
    assert (dry.files, dry.bytes) == (1, one)
    assert prune(tmp_path, max_bytes=total - 1).files == 1
    assert [info.keys() for info in cached(tmp_path)] == [2, 2]  # of what was used least recently
    assert prune(tmp_path, unused_days=30).files == 2
    assert not old.exists()
    assert prune(tmp_path, model="mobilenetv2").files == 0
    assert prune(tmp_path, model="other").files == 2
    assert cached(tmp_path) == []
    assert (tmp_path / "mine.txt").exists() and (tmp_path / "features-abc").exists()
