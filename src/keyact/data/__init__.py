"""Labelled photo and video sets: reading, checking, splitting, and the cache of what is found.

To add a format: a module with a `keyact.data.base.DataFormat`, a line in `FORMATS`, and an example
in ``tests/data/test_dataset_contract.py``.
"""

from __future__ import annotations

from pathlib import Path

from keyact.data import (
    class_folders,
    coco_actions,
    kaggle_har,
    manifest,
    stanford40,
    video_folders,
)
from keyact.data.base import DataFormat, Dataset, Sample, absolute
from keyact.errors import InputError, UnknownNameError

__all__ = ["FORMATS", "DataFormat", "Dataset", "Sample", "detect_format", "load_dataset"]

FORMATS: dict[str, DataFormat] = {
    entry.name: entry
    for entry in (
        class_folders.FORMAT,
        manifest.FORMAT,
        kaggle_har.FORMAT,
        stanford40.FORMAT,
        coco_actions.FORMAT,
        video_folders.FORMAT,
    )
}
"""Name -> format."""


def load_dataset(
    source: str | Path,
    format: str | None = None,
    *,
    splits: str | Path | None = None,
    **options: object,
) -> Dataset:
    """A data set from a folder or file.

    Parameters
    ----------
    source : folder, or the file that lists the samples.
    format : a name of `FORMATS`; None tells it by the names of the files.
    splits : a file of `keyact.data.splits.save`, whose splits replace the data set's own.
    options : of the format, see its ``options``.

    Raises
    ------
    InputError : no such path, nothing in it that could be used, or more than one format fits.
    UnknownNameError : no such format or option.
    """
    path = absolute(source)
    if not path.exists():
        raise InputError(f"{source}: no such file or folder")
    if format is None:
        format, path = detect_format(path)
    if format not in FORMATS:
        raise UnknownNameError("data set format", format, FORMATS)
    known = FORMATS[format]
    for option in options:
        if option not in known.options:
            raise UnknownNameError(f"option of {format}", option, known.options)
    dataset = known.load(path, **options)
    if splits is None:
        return dataset
    from keyact.data.splits import read_split

    return read_split(dataset, splits)


def detect_format(path: Path) -> tuple[str, Path]:
    """The format of a path, and the path itself or its only subfolder, as archives unpack.

    Raises
    ------
    InputError : none fits, or more than one; the message says what to type.
    """
    for place in (path, _only_folder(path)):
        if place is None:
            continue
        fits = [name for name, known in FORMATS.items() if known.detect(place)]
        if len(fits) == 1:
            return fits[0], place
        if fits:
            raise InputError(
                f"{place}: could be {' or '.join(fits)}; say which with --format {fits[0]} "
                f"(in Python: format={fits[0]!r})"
            )
    raise InputError(
        f"{path}: is of no known format; make a folder per label with its photos in it, or a "
        f"manifest.csv with the columns path,label (known formats: {', '.join(FORMATS)})"
    )


def _only_folder(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    inner = [entry for entry in path.iterdir() if not entry.name.startswith((".", "__"))]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else None
