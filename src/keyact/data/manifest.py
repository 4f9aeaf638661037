"""A table with a row per sample: CSV or Parquet with the columns path, label, split and group.

Only ``path`` and ``label`` must be there. Paths are told from the table's folder, or from
``root``. The columns x1, y1, x2 and y2, where there, are the box of the person that the label is
about, in photo pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from keyact.data.base import (
    Box,
    DataFormat,
    Dataset,
    Kind,
    Sample,
    absolute,
    child,
    make_dataset,
    split_name,
    word,
)
from keyact.data.tables import TABLE_SUFFIXES, read_table
from keyact.errors import InputError
from keyact.media.sources import VIDEO_SUFFIXES

NAMES = tuple(f"manifest{suffix}" for suffix in TABLE_SUFFIXES)
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
COLUMNS = ("path", "label", "split", "group", *BOX_COLUMNS)


def detect(source: Path) -> bool:
    """A table, or a folder with one that is called manifest."""
    if source.is_dir():
        return bool(_tables(source))
    return source.suffix.lower() in TABLE_SUFFIXES


def load(source: Path, root: str | Path | None = None) -> Dataset:
    """See `keyact.data.base.DataFormat`.

    Parameters
    ----------
    root : folder that the paths are told from; by default the table's.
    """
    table = source
    if source.is_dir():
        tables = _tables(source)
        if len(tables) != 1:
            names = " and ".join(path.name for path in tables) or f"no {' or '.join(NAMES)}"
            raise InputError(f"{source}: has {names}; give the path of one table")
        (table,) = tables
    folder = table.parent if root is None else absolute(root)
    problems: list[str] = []
    samples = list(rows_to_samples(table, folder, problems))
    videos = sum(sample.path.suffix.lower() in VIDEO_SUFFIXES for sample in samples)
    kind: Kind = "videos" if videos else "photos"
    if 0 < videos < len(samples):
        raise InputError(f"{table}: lists photos and videos; make a table for each")
    named = source if source.is_dir() or table.name not in NAMES else folder
    return make_dataset(named, folder, samples, problems, format="manifest", kind=kind)


def rows_to_samples(table: Path, root: Path, problems: list[str]) -> Iterator[Sample]:
    """The samples of a table; what is wrong with a row goes to ``problems``.

    Raises
    ------
    InputError : see `keyact.data.tables.read_table`.
    """
    for number, row in read_table(table, COLUMNS, ("path", "label")):
        try:
            yield Sample(
                child(root, row["path"]),
                word(row["label"]),
                split_of(row.get("split", "")),
                word(row.get("group", "")),
                _box([row.get(column, "") for column in BOX_COLUMNS]),
            )
        except ValueError as error:
            problems.append(f"{table}: row {number}: {error}")


def split_of(text: str) -> str | None:
    """A split's name in a table, which may be empty.

    Raises
    ------
    ValueError : none that is known.
    """
    if not text.strip():
        return None
    split = split_name(text)
    if split is None:
        raise ValueError(f"the split {text.strip()[:40]!r} is none of train, val and test")
    return split


def _box(texts: list[str]) -> Box | None:
    if not any(text.strip() for text in texts):
        return None
    x1, y1, x2, y2 = (float(text) for text in texts)
    return checked_box(x1, y1, x2, y2)


def checked_box(x1: float, y1: float, x2: float, y2: float) -> Box:
    """A box that has an area.

    Raises
    ------
    ValueError : it has none, or is not finite.
    """
    if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
        raise ValueError(f"the box {x1:g}, {y1:g}, {x2:g}, {y2:g} has no area")
    return x1, y1, x2, y2


def _tables(folder: Path) -> list[Path]:
    return [folder / name for name in NAMES if (folder / name).is_file()]


FORMAT = DataFormat(
    name="manifest",
    summary="a CSV or Parquet table with the columns path, label and, if you like, split and group",
    detect=detect,
    load=load,
    options={"root": "folder that the paths are told from; by default the table's"},
)
