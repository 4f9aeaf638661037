"""Result files out of folders: bounded, by name, and never from outside what was given."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyact.errors import InputError
from keyact.evaluate.output import read_capped
from keyact.report.kinds import kind_of

MAX_BYTES = 16 * 2**20
MAX_FILES = 2000
MAX_DEPTH = 6
MAX_ROWS = 50_000
MAX_CELLS = 400
"""Columns of a table."""

_RUN = ("config.yaml", "environment.json", "model.json")
_WHOLE = ("evaluation.json", "robustness.json", "comparison.csv", "config.yaml", "metrics.json")
# What keyact's own commands keep beside their results: large, with no figure that others lack.
_LEFT_OUT = ("predictions.csv",)
_CACHES = ("cache", "tensorboard")


@dataclass(frozen=True, eq=False)
class Result:
    """One result file, or a run's folder.

    Attributes
    ----------
    name : the path inside what was given, with ``/``: ``"temporal/models.csv"``.
    path : of the file, or of the run's folder.
    kind : of `keyact.report.kinds.KINDS`; empty for a file that is only looked figures up in.
    data : rows of a CSV (dictionaries of texts), or what the JSON holds.
    digest : the first 12 digits of the file's SHA-256.
    """

    name: str
    path: Path
    kind: str
    data: Any
    digest: str = ""

    @property
    def folder(self) -> Path:
        """Where what was written together with it lies."""
        return self.path if self.kind == "run" else self.path.parent


def read_sources(sources: Sequence[str | Path]) -> list[Result]:
    """Every result below the folders, and in the files, that were given; sorted by name.

    A folder that is one result itself (a run, an evaluation) gives its own name to what is in it,
    a folder of results does not.

    Raises
    ------
    InputError : nothing there, unreadable, too large, too many, or two of one name.
    """
    found: dict[str, Result] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source}: no such file or folder")
        for result in _of_folder(source) if source.is_dir() else [_of_file(source, source.name)]:
            if result.name in found:
                raise InputError(
                    f"{result.path} and {found[result.name].path} are both called {result.name}; "
                    "give folders of different names"
                )
            found[result.name] = result
    if not found:
        raise InputError(f"{', '.join(map(str, sources))}: no result files (.csv, .json) in there")
    return [found[name] for name in sorted(found)]


def _of_folder(source: Path) -> Iterator[Result]:
    root = source.resolve()
    prefix = f"{root.name}/" if any((root / name).is_file() for name in _WHOLE) else ""
    for files, path in enumerate(_files(root)):
        if files >= MAX_FILES:
            raise InputError(f"{source}: more than {MAX_FILES} result files")
        inside = path.relative_to(root).as_posix()
        if path.is_dir():
            yield Result(f"{prefix}{inside}".rstrip("/.") or root.name, path, "run", _run(path))
        else:
            yield _of_file(path, prefix + inside)


def _files(root: Path) -> Iterator[Path]:
    """Tables and JSON files, and folders of runs; links that lead out are left alone."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        deep = len(here.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(
            name for name in folders if not name.startswith(".") and name not in _CACHES
        )  # fmt: skip
        if all((here / name).is_file() for name in _RUN):
            yield here
        for name in sorted(files):
            path = here / name
            if (
                path.suffix in (".csv", ".json")
                and not name.startswith((".", "cost-"))
                and name not in _LEFT_OUT
                and path.resolve().is_relative_to(root)
            ):
                yield path


def _of_file(path: Path, name: str) -> Result:
    raw = read_capped(path, MAX_BYTES)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    if path.suffix == ".csv":
        data: Any = _rows(path, text)
    elif path.suffix == ".json":
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not JSON ({str(error).splitlines()[0]})") from None
    else:
        raise InputError(f"{path}: neither a folder nor a .csv or .json file")
    return Result(name, path, kind_of(data), data, hashlib.sha256(raw).hexdigest()[:12])


def _rows(path: Path, text: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        names = reader.fieldnames or []
        if len(names) > MAX_CELLS or len(set(names)) < len(names):
            raise InputError(f"{path}: columns that are too many, or of one name")
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}: line {reader.line_num} has not {len(names)} cells")
            if len(rows) == MAX_ROWS:
                raise InputError(f"{path}: more than {MAX_ROWS} rows")
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None
    return rows


def _run(folder: Path) -> dict[str, Any]:
    """A run's settings, and its figures on val once it has any."""
    found: dict[str, Any] = {
        "config": read_capped(folder / "config.yaml", 2**18).decode("utf-8", "replace")
    }
    metrics = folder / "metrics.json"
    inside = metrics.is_file() and metrics.resolve().is_relative_to(folder)
    return found | ({"metrics": _of_file(metrics, metrics.name).data} if inside else {})
