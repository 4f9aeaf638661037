"""A folder per label: ``LABEL/photo.jpg``, or ``SPLIT/LABEL/photo.jpg``.

What lies in a label's folder, also further down, has that label. Splits may be called train,
training, val, valid, validation, dev, test and testing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from keyact.data.base import (
    MAX_SAMPLES,
    DataFormat,
    Dataset,
    Kind,
    Sample,
    make_dataset,
    split_name,
    word,
)
from keyact.errors import InputError, KeyactError
from keyact.media.sources import PHOTO_SUFFIXES, VIDEO_SUFFIXES

SUFFIXES: dict[Kind, frozenset[str]] = {"photos": PHOTO_SUFFIXES, "videos": VIDEO_SUFFIXES}
OPTIONS = {
    "group_pattern": "regular expression on a file's name whose groups (...) make the sample's "
    "group, such as '(v_.*_g[0-9]+)_c' for UCF101",
}

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


def looks_like(source: Path, kind: Kind) -> bool:
    """Two folders or more that have photos, or clips, right in them."""
    if not source.is_dir():
        return False
    inner = _folders(source)
    if any(split_name(folder.name) for folder in inner):
        inner = [label for folder in inner if split_name(folder.name) for label in _folders(folder)]
        return any(_has(folder, kind) for folder in inner)
    return sum(_has(folder, kind) for folder in inner) >= 2


def read(source: Path, kind: Kind, format: str, group_pattern: str | None = None) -> Dataset:
    """See `keyact.data.base.DataFormat`.

    Raises
    ------
    InputError : not a folder, or nothing in it can be used.
    KeyactError : ``group_pattern`` is no regular expression with a group.
    """
    if not source.is_dir():
        raise InputError(f"{source}: is not a folder; {format} reads a folder of folders")
    pattern = _compiled(group_pattern)
    problems: list[str] = []

    def samples() -> Iterator[Sample]:
        splits = any(split_name(f.name) and _folders(f) for f in _folders(source))
        _report_stray(source, kind, problems)
        for folder in _folders(source):
            if not splits:
                yield from _label(folder, None, kind, pattern, problems)
                continue
            split = split_name(folder.name)
            if split is None:
                problems.append(f"{folder}: is no split (train, val or test), so it is left out")
                continue
            _report_stray(folder, kind, problems)
            for inner in _folders(folder):
                yield from _label(inner, split, kind, pattern, problems)

    found = list(samples())
    return make_dataset(source, source, found, problems, format=format, kind=kind)


def _label(
    folder: Path,
    split: str | None,
    kind: Kind,
    pattern: re.Pattern[str] | None,
    problems: list[str],
) -> Iterator[Sample]:
    try:
        label = word(folder.name)
    except ValueError as error:
        problems.append(f"{folder.parent}: a folder's name is no label: {error}")
        return
    before = len(problems)
    empty = True
    for path in _files(folder, problems):
        suffix = path.suffix.lower()
        if suffix in SUFFIXES[kind]:
            empty = False
            found = pattern.search(path.name) if pattern else None
            if pattern and not found:
                problems.append(f"{path}: its name does not fit group_pattern; it has no group")
            group = "/".join(part or "" for part in found.groups()) if found else None
            yield Sample(path, label, split, group or None)
        elif suffix in PHOTO_SUFFIXES | VIDEO_SUFFIXES:
            other = "video-folders" if kind == "photos" else "class-folders"
            problems.append(f"{path}: is left out; the format {other} reads it")
        elif path.name.lower() not in _SYSTEM_FILES:
            problems.append(f"{path}: is left out: by its name it is none of the {kind}")
    if empty and before == len(problems):
        problems.append(f"{folder}: has no {kind} in it")


def _report_stray(folder: Path, kind: Kind, problems: list[str]) -> None:
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in SUFFIXES[kind] and entry.is_file():
            problems.append(f"{entry}: is in no label's folder, so it is left out")


def _folders(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))


def _files(folder: Path, problems: list[str]) -> Iterator[Path]:
    """Files below a folder, sorted; links are followed, each real folder visited once."""
    visited: set[tuple[int, int]] = set()
    count = 0

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read: {error.strerror}")

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                count += 1
                if count > MAX_SAMPLES:
                    raise InputError(f"{folder}: more than {MAX_SAMPLES} files")
                yield Path(parent, name)


def _has(folder: Path, kind: Kind) -> bool:
    with os.scandir(folder) as entries:
        return any(os.path.splitext(e.name)[1].lower() in SUFFIXES[kind] for e in entries)


def _compiled(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise KeyactError(f"group_pattern {text!r}: not a regular expression: {error}") from None
    if not pattern.groups:
        raise KeyactError(f"group_pattern {text!r}: put parentheses round what is the group")
    return pattern


FORMAT = DataFormat(
    name="class-folders",
    summary="a folder of photos per label, with or without train, val and test folders above",
    detect=partial(looks_like, kind="photos"),
    load=partial(read, kind="photos", format="class-folders"),
    options=OPTIONS,
)
