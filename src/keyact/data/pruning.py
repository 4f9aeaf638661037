"""What the cache holds, and making it smaller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyact.data.store import SETTINGS, shard_keys, stores
from keyact.errors import InputError

DAY = 86_400
STALE_PART = 3600
"""Seconds after which a file that was being written belongs to no program any more."""


@dataclass(frozen=True)
class StoreInfo:
    """One store of the cache.

    Attributes
    ----------
    folder : of the store.
    kind : what is kept, such as ``"people"``.
    settings : what it was made with.
    models : names of the networks that stand in the settings.
    shards : files with their bytes and the time they were written, oldest first.
    used : time it was last used, seconds since 1970.
    """

    folder: Path
    kind: str
    settings: dict[str, Any] = field(repr=False)
    models: tuple[str, ...]
    shards: tuple[tuple[Path, int, float], ...] = field(repr=False)
    used: float

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(size for _, size, _ in self.shards)

    def keys(self) -> int:
        """Number of different keys; damaged shards have none."""
        found: set[str] = set()
        for path, _, _ in self.shards:
            try:
                found.update(shard_keys(path))
            except InputError:
                continue
        return len(found)


@dataclass(frozen=True)
class Pruned:
    """What `prune` removed, or would remove."""

    files: int
    bytes: int
    failed: tuple[str, ...]


def cached(root: Path) -> list[StoreInfo]:
    """All stores below a cache, the most recently used first."""
    found = []
    for folder, settings in stores(root):
        shards = []
        for path in folder.glob("*.safetensors"):
            try:
                status = path.stat()
            except OSError:  # removed meanwhile
                continue
            shards.append((path, status.st_size, status.st_mtime))
        shards.sort(key=lambda shard: shard[2])
        used = max([(folder / SETTINGS).stat().st_mtime, *(shard[2] for shard in shards)])
        kind = folder.name.rpartition("-")[0]
        models = tuple(dict.fromkeys(_names(settings)))
        found.append(StoreInfo(folder, kind, settings, models, tuple(shards), used))
    return sorted(found, key=lambda info: -info.used)


def prune(
    root: Path,
    *,
    model: str | None = None,
    unused_days: float | None = None,
    max_bytes: int | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Remove what any of the conditions names. Programs that use the cache just compute again.

    Parameters
    ----------
    model : stores made with a network of this name.
    unused_days : stores that were not used for so long.
    max_bytes : then, until no more than this is left, shards of the store that was not used for
        longest, oldest first.
    everything : all stores.
    dry_run : remove nothing and tell what would go.
    """
    infos = cached(root)
    now = time.time()
    gone: dict[Path, int] = {}
    for info in infos:
        old = unused_days is not None and now - info.used > unused_days * DAY
        if everything or old or (model is not None and model in info.models):
            gone |= {path: size for path, size, _ in info.shards}
    if max_bytes is not None:
        left = sum(info.bytes for info in infos) - sum(gone.values())
        for info in reversed(infos):
            for path, size, _ in info.shards:
                if left > max_bytes and path not in gone:
                    gone[path] = size
                    left -= size
    if dry_run:
        return Pruned(len(gone), sum(gone.values()), ())
    removed, failed = [], []
    for path, size in gone.items():
        try:
            path.unlink(missing_ok=True)
            removed.append(size)
        except OSError as error:  # open in another program, on Windows
            failed.append(f"{path}: cannot be removed: {error.strerror or error}")
    for info in infos:
        _tidy(info.folder, now)
    return Pruned(len(removed), sum(removed), tuple(failed))


def _tidy(folder: Path, now: float) -> None:
    """Remove what killed programs were writing, and the folder of an empty store."""
    for part in folder.glob(".*.part"):
        try:
            if now - part.stat().st_mtime > STALE_PART:
                part.unlink()
        except OSError:
            continue
    if any(path.name != SETTINGS for path in folder.iterdir()):
        return
    try:
        (folder / SETTINGS).unlink(missing_ok=True)
        folder.rmdir()
    except OSError:  # another program has just put something into it
        return


def _names(settings: object) -> Iterator[str]:
    """Everything that stands under the key "name", at any depth."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            if key == "name" and isinstance(value, str):
                yield value
            yield from _names(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _names(value)
