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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keyact.backends import Backend
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
    is left out with one warning in the log ``keyact``: a stray file must not stop the rest.
    """
    found = list(_bundled())
    taken = {(entry.kind, entry.name) for entry in found}
    folder = user_models_dir()
    for path in sorted(folder.glob("*.onnx")) if folder.is_dir() else []:
        try:
            entry = _from_file(path)
        except WeightsError as error:
            _warn_once(f"left out: {error}")
            continue
        if (entry.kind, entry.name) in taken:
            _warn_once(f"left out: {path}: the {entry.kind} name {entry.name} is taken")
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
    known = list(also)
    elsewhere = None
    for entry in entries():
        if entry.kind == kind and entry.name == name:
            return entry
        if entry.kind == kind:
            known.append(entry.name)
        elif entry.name == name:
            elsewhere = entry.kind
    if elsewhere:
        raise _OtherKindError(_SPOKEN[kind], name, known, elsewhere)
    raise UnknownNameError(_SPOKEN[kind], name, known)


def resolve(
    kind: str, name_or_path: str | Path, *, also: Mapping[str, Backend] | None = None
) -> WeightEntry:
    """A network by name, or from an ``.onnx`` file anywhere.

    Parameters
    ----------
    also : backends of this kind, to suggest when there is no such network or the file is theirs.

    Raises
    ------
    UnknownNameError : no such name.
    WeightsError : no such file, or its metadata says another kind; a folder, or a file of
        another program.
    """
    also = also or {}
    if isinstance(name_or_path, str) and not name_or_path.lower().endswith(".onnx"):
        try:
            return get(kind, name_or_path, also=also)
        except UnknownNameError:
            _explain(name_or_path, also)
            raise
    try:
        entry = _from_file(Path(os.path.expanduser(name_or_path)))
    except _NoKindError as error:
        raise WeightsError(f"{error}{_asked_for_as(str(name_or_path), also)}") from None
    except WeightsError:
        _explain(str(name_or_path), also)
        raise
    if entry.kind != kind:
        raise WeightsError(f"{name_or_path}: is {_one(entry.kind)}, wanted {_one(kind)}")
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

_OPTIONS = {
    "detector": "--detector",
    "pose": "--pose",
    "action": "--model",
    "sequence": "--sequence",
}


def _one(kind: str) -> str:
    return f"{'an' if kind == 'action' else 'a'} {kind} network"


def _explain(asked: str, also: Mapping[str, Backend]) -> None:
    """Refuse in better words what is a folder, or a file of another program.

    Raises
    ------
    WeightsError
    """
    path = os.path.expanduser(asked)
    if path and os.path.isdir(path):
        network = os.path.join(path, "model.onnx")  # as keyact train leaves it
        where = f"; its network is {network}" if os.path.isfile(network) else ""
        raise WeightsError(f"{asked}: is a folder, not a network{where}")
    if os.path.isfile(path) and not path.lower().endswith(".onnx"):
        raise WeightsError(f"{asked}: is no .onnx file{_asked_for_as(asked, also)}")


def _asked_for_as(file: str, also: Mapping[str, Backend]) -> str:
    """The end of an error: what to type if the file is one of another program."""
    end = Path(file).suffix.lower()
    wanted = {name: re.search(r":FILE(\.\w+)?", backend.form) for name, backend in also.items()}
    forms = [f"{name}:{file}" for name, form in wanted.items() if form and form[1] in (None, end)]
    return f"; if a backend is to read it, type {' or '.join(forms)}" if forms else ""


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


class _OtherKindError(UnknownNameError):
    """A name that is one of another kind: see `UnknownNameError`, and that kind."""

    def __init__(self, kind: str, name: str, known: Iterable[str], is_a: str) -> None:
        super().__init__(kind, name, known)
        self.args = (*self.args, is_a)

    def __str__(self) -> str:
        is_a = self.args[-1]
        return f"{super().__str__()}; it is {_one(is_a)}, which {_OPTIONS[is_a]} takes"


class _NoKindError(WeightsError):
    """An ONNX file that does not say what it is: it may be another program's."""


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _log.warning("%s", message)


def _from_file(path: Path) -> WeightEntry:
    """What a file says of itself, read once for as long as it stays as it is."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return _read_entry(path)  # which says why
    found = _known_entry(path, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    if isinstance(found, WeightsError):
        raise type(found)(*found.args)
    return found


@lru_cache(maxsize=1024)
def _known_entry(path: Path, *_as_it_is: int) -> WeightEntry | WeightsError:
    try:
        return _read_entry(path)
    except WeightsError as error:
        return type(error)(*error.args)  # without its traceback, which holds the file


def _read_entry(path: Path) -> WeightEntry:
    data = read_model_file(path)
    meta = parse_meta(read_metadata(data, str(path)), str(path))
    kind = meta.get("kind")
    if kind not in KINDS:
        raise _NoKindError(
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
