"""Whether labelled data are photos, video clips or files of key points over time."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Literal

from keyact.data import FORMATS, Dataset, manifest, video_folders
from keyact.data.manifest import rows_to_samples
from keyact.data.tables import TABLE_SUFFIXES
from keyact.errors import KeyactError
from keyact.media.sources import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from keyact.sequences import FORMATS as SEQUENCE_FORMATS
from keyact.sequences import detect_format
from keyact.sequences.table import has_joints

Kind = Literal["photos", "videos", "sequences"]

_LOOKED_AT = 10_000  # files, until a folder counts as one without photos
_FILES = {"path", "filename", "file", "image", "photo", "video"}  # columns of a table of files


def kind_of(data: object, format: str | None = None) -> Kind:
    """What the data are, told by names of files; ``photos`` when nothing tells.

    Parameters
    ----------
    data : a `Dataset`, or a file or folder.
    format : one of `keyact.data.FORMATS` or `keyact.sequences.FORMATS`, where it is known.
    """
    if isinstance(data, Dataset):
        return data.kind
    if not isinstance(data, (str, Path)):
        return "photos"
    path = Path(data)
    if format in SEQUENCE_FORMATS and format not in FORMATS:
        return "sequences"
    if format == video_folders.FORMAT.name:
        return "videos"
    if format is not None:
        return _listed(path) if format == manifest.FORMAT.name else "photos"
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in TABLE_SUFFIXES and _names_files(path):
        return _listed(path)
    return "sequences" if _is_sequences(path) else "photos"


def _of_folder(folder: Path) -> Kind:
    files = islice(folder.rglob("*"), _LOOKED_AT)
    found = Counter(file.suffix.lower() for file in files if file.name not in manifest.NAMES)
    if any(found[suffix] for suffix in PHOTO_SUFFIXES):
        return "photos"
    suffixes = {suffix for entry in SEQUENCE_FORMATS.values() for suffix in entry.suffixes}
    videos = sum(found[suffix] for suffix in VIDEO_SUFFIXES)
    # Notes may lie beside clips, and clips beside the key points that were found in them.
    if videos > sum(found[suffix] for suffix in suffixes) or not _is_sequences(folder):
        return "videos" if videos else "photos"
    return "sequences"


def _is_sequences(path: Path) -> bool:
    try:
        detect_format(path)
    except (KeyactError, OSError):
        return False
    return True


def _listed(path: Path) -> Literal["photos", "videos"]:
    """What a manifest lists."""
    tables = [path]
    if path.is_dir():
        tables = [path / name for name in manifest.NAMES if (path / name).is_file()]
    for table in tables:
        try:
            for sample in rows_to_samples(table, table.parent, []):
                return "videos" if sample.path.suffix.lower() in VIDEO_SUFFIXES else "photos"
        except KeyactError:  # said when it is loaded
            continue
    return "photos"


def _names_files(path: Path) -> bool:
    if path.suffix.lower() in (".parquet", ".pq"):
        return True
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(_FILES & {column.strip().lower() for column in header}) and not has_joints(header)
