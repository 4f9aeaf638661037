"""Which model to train when none is named: that follows from what the data are."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

from keyact.data import FORMATS as PHOTO_FORMATS
from keyact.errors import KeyactError
from keyact.media.sources import PHOTO_SUFFIXES
from keyact.sequences import FORMATS as SEQUENCE_FORMATS
from keyact.sequences import detect_format

PHOTO_MODEL = "keypoint-fusion"
SEQUENCE_MODEL = "stream-ensemble"
_LOOKED_AT = 10_000  # files, until a folder counts as one without photos
_FILES = {"path", "filename", "file", "image", "photo"}  # columns of a table of photos


def default_model(data: object, format: str | None = None) -> str:
    """A photo model for photos, a sequence model for files of key points over time.

    Parameters
    ----------
    data : as `keyact.train` takes it.
    format : one of `keyact.data.FORMATS` or `keyact.sequences.FORMATS`, where it is known.
    """
    if format in SEQUENCE_FORMATS and format not in PHOTO_FORMATS:
        return SEQUENCE_MODEL
    if format is not None or not isinstance(data, (str, Path)):
        return PHOTO_MODEL
    path = Path(data)
    if path.is_dir() and any(
        file.suffix.lower() in PHOTO_SUFFIXES for file in islice(path.rglob("*"), _LOOKED_AT)
    ):
        return PHOTO_MODEL
    if path.suffix.lower() in (".csv", ".tsv") and _names_files(path):
        return PHOTO_MODEL
    try:
        detect_format(path)
    except (KeyactError, OSError):
        return PHOTO_MODEL
    return SEQUENCE_MODEL


def _names_files(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(_FILES & {column.strip().lower() for column in header})
