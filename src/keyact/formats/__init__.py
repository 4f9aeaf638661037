"""Key point files of other programs, read into keyact's own types and written from them.

To add a format: a module with a `keyact.formats.base.Format`, a line in `FORMATS`, and an example
in ``tests/formats/test_format_contract.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from keyact.errors import InputError, UnknownNameError
from keyact.formats import alphapose, coco, mediapipe, mmpose, openpose
from keyact.formats.alphapose_writer import AlphaPoseFolder, AlphaPoseWriter, open_alphapose
from keyact.formats.base import MAX_FILES, Format, Options, PhotoPeople, refuse
from keyact.layouts import get_layout

__all__ = [
    "FORMATS",
    "AlphaPoseFolder",
    "AlphaPoseWriter",
    "Format",
    "Options",
    "PhotoPeople",
    "get_format",
    "open_alphapose",
    "read",
]

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        alphapose.FORMAT,
        openpose.FORMAT,
        coco.RESULTS,
        coco.ANNOTATIONS,
        mediapipe.FORMAT,
        mmpose.FORMAT,
    )
}
"""Name -> format."""


def get_format(name: str) -> Format:
    """A format by name.

    Raises
    ------
    UnknownNameError : there is no such format.
    """
    if name not in FORMATS:
        raise UnknownNameError("key point format", name, FORMATS)
    return FORMATS[name]


def read(name: str, path: str | Path, options: Options | None = None) -> Iterator[PhotoPeople]:
    """Read a file, or the ``.json`` files of a folder in the order of their names.

    Parameters
    ----------
    name : of the format, see `FORMATS`.
    options : by default the first entry that cannot be used raises.

    Yields
    ------
    PhotoPeople : as the entries stand in the file; see `keyact.formats.base.Format.read`.

    Raises
    ------
    InputError : the file cannot be read or is not JSON. Of a folder's files this goes to
        ``options.report`` and the next file is read.
    UnknownNameError : no such format or layout.
    """
    known = get_format(name)
    options = options or Options()
    if options.layout is not None:
        get_layout(options.layout)
    return _read(known, Path(path), options)


def _read(known: Format, path: Path, options: Options) -> Iterator[PhotoPeople]:
    if not path.is_dir():
        yield from known.read(path, options)
        return
    for file in _json_files(path):
        try:
            yield from known.read(file, options)
        except InputError as error:
            if options.report is refuse:
                raise
            options.report(str(error))


def _json_files(folder: Path) -> list[Path]:
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.lower().endswith(".json") and not entry.name.startswith("."):
                    names.append(entry.name)
                    if len(names) > MAX_FILES:
                        raise InputError(f"{folder}: more than {MAX_FILES} files")
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from None
    if not names:
        raise InputError(f"{folder}: has no .json file in it")
    return [folder / name for name in sorted(names)]
