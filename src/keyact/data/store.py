"""Arrays on disk that a killed run does not lose and that several programs share.

A store is a folder: ``settings.json`` says in clear what its arrays were made with, and each
``*.safetensors`` shard holds the arrays of one batch, named ``KEY/NAME``. There is no index file
that could contradict the shards: which keys there are stands in the shards' own headers. A shard
is written beside its name, flushed to the disk and moved there, so it is whole or not there, after
``kill -9`` and with two programs at once alike; two that compute the same key both keep it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import extra
from keyact.errors import InputError, KeyactError

Arrays = dict[str, NDArray[Any]]

SETTINGS = "settings.json"
MAX_HEADER_BYTES = 100 * 2**20  # as safetensors itself allows

_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEY = re.compile(r"[0-9a-f]{16,128}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_OPEN = 32  # shards held open
_log = logging.getLogger("keyact")


def cache_dir() -> Path:
    """Folder of the cache: ``$KEYACT_CACHE``, else the platform's place for caches."""
    named = os.environ.get("KEYACT_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "keyact" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "keyact"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keyact"


def content_hash(data: bytes) -> str:
    """32 hexadecimal digits of a file's bytes (BLAKE2b, 128 bits)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def settings_hash(settings: Mapping[str, object]) -> str:
    """32 hexadecimal digits of settings; the order of their names does not matter."""
    return content_hash(json.dumps(settings, sort_keys=True).encode())


class ArrayStore:
    """Named arrays by key. Safe with several threads and several processes.

    Parameters
    ----------
    root : folder of the cache, see `cache_dir`; made when something is written.
    kind : what is kept, such as ``"people"``.
    settings : all that the arrays depend on besides the key: models with their hashes, sizes,
        flags. JSON values only. Other settings are another folder.

    Raises
    ------
    KeyactError : safetensors is not installed.
    """

    def __init__(self, root: str | Path, kind: str, settings: Mapping[str, object]) -> None:
        if not _KIND.fullmatch(kind):
            raise ValueError(f"kind {kind!r} is not letters, digits and dashes")
        self.settings = dict(settings)
        self.folder = Path(root) / f"{kind}-{settings_hash(self.settings)}"
        self._safetensors = extra("safetensors")
        self._numpy = extra("safetensors.numpy")
        self._lock = threading.RLock()
        self._places: dict[str, tuple[Path, tuple[str, ...]]] = {}
        self._seen: set[str] = set()
        self._handles: dict[Path, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look for shards that other programs have written since."""
        with self._lock:
            present = {path.name for path in self.folder.glob("*.safetensors")}
            for name in sorted(present - self._seen):
                path = self.folder / name
                try:
                    keys = shard_keys(path)
                except KeyactError as error:
                    _log.warning("left out of the cache: %s", error)
                    keys = {}
                for key, names in keys.items():
                    self._places.setdefault(key, (path, names))
                self._seen.add(name)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Arrays | None:
        """The arrays of a key, or None. They are copies that the caller owns."""
        with self._lock:
            for _ in range(2):
                if key not in self._places:
                    return None
                path, names = self._places[key]
                try:
                    shard = self._open(path)
                    return {name: np.array(shard.get_tensor(f"{key}/{name}")) for name in names}
                except (OSError, self._safetensors.SafetensorError):
                    self._forget(path)  # pruned meanwhile; another shard may have the key
                    self.refresh()
            return None

    def put_many(self, batch: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        """Write a batch as one shard; when this returns, it is on the disk.

        Parameters
        ----------
        batch : key -> name -> array. Keys are hexadecimal, as of `content_hash`.

        Raises
        ------
        KeyactError : the folder cannot be written.
        """
        if not batch:
            return
        tensors = {}
        for key, arrays in batch.items():
            if not _KEY.fullmatch(key) or not all(_NAME.fullmatch(name) for name in arrays):
                raise ValueError(f"{key!r} with {sorted(arrays)} are no keys and names of a store")
            for name, array in arrays.items():
                tensors[f"{key}/{name}"] = np.ascontiguousarray(array)
        name = f"{uuid.uuid4().hex}.safetensors"
        try:
            self._write(SETTINGS, json.dumps(self.settings, indent=2, sort_keys=True).encode())
            self._write(name, self._numpy.save(tensors))
        except OSError as error:
            raise KeyactError(
                f"{self.folder}: the cache cannot be written: {error.strerror or error}; "
                "set KEYACT_CACHE to another folder, or free space with: keyact cache prune"
            ) from error
        with self._lock:
            self._seen.add(name)
            for key, arrays in batch.items():
                self._places[key] = (self.folder / name, tuple(arrays))

    def touch(self) -> None:
        """Note that the store is in use; ``keyact cache prune`` starts with what is not."""
        with suppress(OSError):  # nothing written yet, or a cache that may only be read
            os.utime(self.folder / SETTINGS)

    def _open(self, path: Path) -> Any:
        if path not in self._handles:
            if len(self._handles) >= _OPEN:
                self._handles.pop(next(iter(self._handles)))
            self._handles[path] = self._safetensors.safe_open(path, framework="np")
        return self._handles[path]

    def _forget(self, path: Path) -> None:
        self._handles.pop(path, None)
        self._seen.discard(path.name)
        gone = [key for key, place in self._places.items() if place[0] == path]
        for key in gone:
            del self._places[key]

    def _write(self, name: str, data: bytes) -> None:
        target = self.folder / name
        if name == SETTINGS and target.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.{uuid.uuid4().hex}.part"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def shard_keys(path: Path) -> dict[str, tuple[str, ...]]:
    """Keys of a shard with the names of their arrays, from its header alone.

    Raises
    ------
    InputError : it cannot be read, or is no shard of a store.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MAX_HEADER_BYTES:
                raise InputError(f"{path}: not a safetensors file")
            header = json.loads(file.read(length))
            end = max((span["data_offsets"][1] for span in header.values()), default=0)
            if path.stat().st_size != 8 + length + end:
                raise InputError(f"{path}: is cut off")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise InputError(f"{path}: not a safetensors file") from None
    keys: dict[str, list[str]] = {}
    for name in header:
        key, _, array = name.partition("/")
        if not _KEY.fullmatch(key) or not _NAME.fullmatch(array):
            raise InputError(f"{path}: {name[:60]!r} is no array of a store")
        keys.setdefault(key, []).append(array)
    return {key: tuple(names) for key, names in keys.items()}


def stores(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folders of stores below a cache, with their settings, by name."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        kind, _, digest = folder.name.rpartition("-")
        if not (_KIND.fullmatch(kind) and _KEY.fullmatch(digest)):
            continue
        try:
            with (folder / SETTINGS).open("rb") as file:
                settings = json.loads(file.read(2**20))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(settings, dict):
            yield folder, settings
