"""Which networks there are: the bundled ones and the user's own.

Bundled networks lie next to this file and are listed in ``registry.json`` with their SHA-256.
A user's own are the ``*.onnx`` files in `user_models_dir`; what each is stands in its ONNX
metadata under the key ``"keyact"``, a JSON object with at least ``"kind"``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keyact.errors import UnknownNameError, WeightsError
from keyact.weights.onnx_header import read_metadata

__all__ = [
    "KINDS",
    "MAX_FILE_BYTES",
    "WeightEntry",
    "entries",
    "get",
    "parse_meta",
    "read_model_file",
    "resolve",
    "user_models_dir",
]

KINDS = ("detector", "pose", "action", "sequence")
MAX_FILE_BYTES = 512 * 2**20
_HERE = Path(__file__).parent
# Names come from files of unknown origin and end up in tables and error messages.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_log = logging.getLogger("keyact")


@dataclass(frozen=True)
class WeightEntry:
    """One network that can be loaded.

    ``sha256`` is None for a user's own file: there is nothing to check it against.
    ``card`` is the path of its model card (bundled only), ``source`` "bundled" or "user".
    """

    name: str
    kind: str
    path: Path
    bytes: int
    sha256: str | None = None
    licence: str = ""
    card: Path | None = None
    summary: str = ""
    default: bool = False
    source: str = "user"

    @property
    def file(self) -> str:
        """File name."""
        return self.path.name

    def digest(self) -> str:
        """SHA-256 of the file as it is now."""
        return hashlib.sha256(read_model_file(self.path)).hexdigest()


def user_models_dir() -> Path:
    """Folder of the user's own networks: ``$KEYACT_HOME/models``, else the platform's place."""
    home = os.environ.get("KEYACT_HOME")
    if home:
        return Path(home).expanduser() / "models"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "keyact" / "models"


def entries(kind: str | None = None) -> list[WeightEntry]:
    """All networks, or those of one kind: bundled first, then the user's by file name.

    A user's file that cannot be read, is of no known kind, or has the name of another network
    is left out with a warning in the log ``keyact``: a stray file must not stop the rest.
    """
    found = list(_bundled())
    taken = {(entry.kind, entry.name) for entry in found}
    folder = user_models_dir()
    for path in sorted(folder.glob("*.onnx")) if folder.is_dir() else []:
        try:
            entry = _from_file(path)
        except WeightsError as error:
            _log.warning("left out: %s", error)
            continue
        if (entry.kind, entry.name) in taken:
            _log.warning("left out: %s: the %s name %s is taken", path, entry.kind, entry.name)
            continue
        taken.add((entry.kind, entry.name))
        found.append(entry)
    return [entry for entry in found if kind is None or entry.kind == kind]


def get(kind: str, name: str, *, also: Iterable[str] = ()) -> WeightEntry:
    """The network of this kind and name.

    Parameters
    ----------
    also : further names to suggest when there is no such network.

    Raises
    ------
    UnknownNameError
    """
    known = entries(kind)
    for entry in known:
        if entry.name == name:
            return entry
    raise UnknownNameError(_SPOKEN[kind], name, [entry.name for entry in known] + list(also))


def resolve(kind: str, name_or_path: str | Path, *, also: Iterable[str] = ()) -> WeightEntry:
    """A network by name, or from an ``.onnx`` file anywhere.

    Raises
    ------
    UnknownNameError : no such name.
    WeightsError : no such file, or its metadata says another kind.
    """
    if isinstance(name_or_path, str) and not name_or_path.lower().endswith(".onnx"):
        return get(kind, name_or_path, also=also)
    entry = _from_file(Path(name_or_path).expanduser())
    if entry.kind != kind:
        raise WeightsError(f"{name_or_path}: is a {entry.kind} network, wanted a {kind} network")
    return entry


def read_model_file(path: Path) -> bytes:
    """The bytes of a network file, at most `MAX_FILE_BYTES`.

    Raises
    ------
    WeightsError : missing, unreadable or too large.
    """
    try:
        # One read of one open file: its size cannot change between check and use.
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_FILE_BYTES:
        raise WeightsError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
    return data


def parse_meta(metadata: dict[str, str], source: str) -> dict[str, Any]:
    """The JSON object under the key ``"keyact"``; empty when there is none.

    Raises
    ------
    WeightsError : not a JSON object.
    """
    text = metadata.get("keyact")
    if text is None:
        return {}
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{source}: its keyact metadata is not JSON") from error
    if not isinstance(meta, dict):
        raise WeightsError(f"{source}: its keyact metadata is not a JSON object")
    return meta


_SPOKEN = {
    "detector": "detector",
    "pose": "pose backend",
    "action": "action model",
    "sequence": "sequence model",
}


@lru_cache(maxsize=1)
def _bundled() -> tuple[WeightEntry, ...]:
    rows = json.loads((_HERE / "registry.json").read_text("utf-8"))["weights"]
    return tuple(
        WeightEntry(
            name=row["name"],
            kind=row["kind"],
            path=_HERE / row["file"],
            bytes=row["bytes"],
            sha256=row["sha256"],
            licence=row["licence"],
            card=_HERE / row["card"],
            summary=row["summary"],
            default=row["default"],
            source="bundled",
        )
        for row in rows
    )


def _from_file(path: Path) -> WeightEntry:
    data = read_model_file(path)
    meta = parse_meta(read_metadata(data, str(path)), str(path))
    kind = meta.get("kind")
    if kind not in KINDS:
        raise WeightsError(
            f"{path}: its keyact metadata names no kind of network (one of {', '.join(KINDS)})"
        )
    name = str(meta.get("name") or path.stem)
    if not _NAME.fullmatch(name):
        raise WeightsError(f"{path}: {name[:64]!r} is no name: use letters, digits and . _ + -")
    return WeightEntry(
        name=name,
        kind=kind,
        path=path,
        bytes=len(data),
        licence=str(meta.get("licence", "")),
        summary=str(meta.get("summary", "")),
    )
