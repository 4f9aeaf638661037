"""Sequences from files of any known format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from keyact.errors import InputError, UnknownNameError
from keyact.formats.base import refuse
from keyact.sequences import mat, npz, ntu, people, pickles, table
from keyact.sequences.base import (
    Options,
    SequenceFormat,
    files_of,
    manifest_fields,
    named,
    placed,
    read_manifest,
)
from keyact.sequences.sequence import Sequence

FORMATS: dict[str, SequenceFormat] = {
    entry.name: entry
    for entry in (
        mat.PENN,
        mat.KINECT,
        pickles.FORMAT,
        ntu.FORMAT,
        npz.FORMAT,
        table.FORMAT,
        people.RESULTS,
        people.ALPHAPOSE,
    )
}
"""Name -> format; of those with the same suffix the first that recognises a file has it."""


def get_format(name: str) -> SequenceFormat:
    """A format by name.

    Raises
    ------
    UnknownNameError : there is no such format.
    """
    if name not in FORMATS:
        raise UnknownNameError("sequence format", name, FORMATS)
    return FORMATS[name]


def load_sequences(source: str | Path, format: str | None = None, **options: Any) -> list[Sequence]:
    """The sequences of a file or of a folder's files, in the order of their names.

    What the files do not say is taken from a ``manifest.csv`` (path, label, split, group) in the
    folder, which has the last word, then from folders (``label/file``, ``split/label/file``) and
    from file names of known data sets (``a1_s2_t3``: UTD-MHAD, ``S001C001P001R001A001``: NTU).

    Parameters
    ----------
    source : file or folder.
    format : one of `FORMATS`; told by the files when None.
    options : see `keyact.sequences.base.Options`.

    Raises
    ------
    InputError : nothing to read, or a file that cannot be used and no ``report`` to tell.
    UnknownNameError : no such format, layout or option.
    """
    known = [field.name for field in fields(Options)]
    for option in options:
        if option not in known:
            raise UnknownNameError("option of a sequence format", option, known)
    path, chosen = Path(source), Options(**options)
    entry = detect_format(path) if format is None else get_format(format)
    sequences = _agreed(entry, path, chosen, list(_read(entry, path, chosen)))
    if not sequences:
        raise InputError(f"{path}: has no sequence in it that can be used")
    return entry.together(sequences)


def refuse_splits(file: str | Path | None) -> None:
    """Splits in a file of their own are of photos and clips.

    Raises
    ------
    InputError : there is such a file; the message says where these splits stand.
    """
    if file is not None:
        raise InputError(
            f"{file}: splits of key point sequences stand in a manifest.csv in their folder, "
            "with the columns path and split"
        )


def detect_format(path: Path) -> SequenceFormat:
    """The format of a file, or of most files of a folder.

    Raises
    ------
    InputError : none fits.
    """
    suffixes = tuple({suffix for entry in FORMATS.values() for suffix in entry.suffixes})
    if path.is_dir():
        files = files_of(path, suffixes)
        most = Counter(file.suffix.lower() for file in files).most_common(1)
        file = next((file for file in files if file.suffix.lower() == most[0][0]), None)
    else:
        file = path if path.exists() else None
        if file is None:
            raise InputError(f"{path}: no such file or folder")
    for entry in FORMATS.values():
        if file is not None and file.suffix.lower() in entry.suffixes and entry.sniff(file):
            return entry
    what = f"{file}: of no known format" if file else f"{path}: has no file of a known format"
    raise InputError(f"{what}; say which: {', '.join(FORMATS)}")


def _agreed(
    entry: SequenceFormat, path: Path, options: Options, sequences: list[Sequence]
) -> list[Sequence]:
    """All of one layout: where a few recordings look like another, most are right."""
    layouts = Counter(sequence.layout for sequence in sequences)
    sizes = {sequence.joints for sequence in sequences}
    if options.layout is not None or len(layouts) < 2 or len(sizes) > 1:
        return sequences
    told = options.report if options.report is refuse else _nothing  # has been told
    return list(
        _read(entry, path, replace(options, layout=layouts.most_common(1)[0][0], report=told))
    )


def _nothing(message: str) -> None:
    pass


def _read(entry: SequenceFormat, path: Path, options: Options) -> Iterator[Sequence]:
    if not path.is_dir():
        for sequence in entry.read(path, options):
            yield named(sequence, options)
        return
    rows = read_manifest(path)
    files = files_of(path, entry.suffixes)
    for file in files:
        row = rows.get(file.relative_to(path).as_posix())
        if rows and row is None and len(rows) < len(files):
            continue  # the manifest chooses
        try:
            for sequence in entry.read(file, options):
                whole = placed(named(sequence, options), file, path)
                yield replace(whole, **manifest_fields(row)) if row else whole  # type: ignore[arg-type]
        except InputError as error:
            if options.report is refuse:
                raise
            options.report(str(error))
