"""Kaggle's "Human Action Recognition (HAR)": ``Training_set.csv`` with ``train/``, and a test part.

``Training_set.csv`` has the columns filename and label; ``Testing_set.csv``, the filenames of
``test/``, has no labels, so those samples have none. 15 actions, 840 training photos of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyact.data.base import DataFormat, Dataset, Sample, child, make_dataset, word
from keyact.data.tables import read_table
from keyact.errors import InputError
from keyact.media.sources import PHOTO_SUFFIXES

_PARTS = (("train", "Training_set.csv", "train"), ("test", "Testing_set.csv", "test"))


def detect(source: Path) -> bool:
    """``Training_set.csv`` beside the folder ``train``."""
    return (source / "Training_set.csv").is_file() and (source / "train").is_dir()


def load(source: Path) -> Dataset:
    """See `keyact.data.base.DataFormat`."""
    if not detect(source):
        raise InputError(f"{source}: has no Training_set.csv with a folder train beside it")
    problems: list[str] = []
    samples = [sample for part in _PARTS for sample in _part(source, *part, problems)]
    return make_dataset(source, source, samples, problems, format="kaggle-har")


def _part(
    source: Path, split: str, table_name: str, folder_name: str, problems: list[str]
) -> Iterator[Sample]:
    table, folder = source / table_name, source / folder_name
    if not table.is_file():
        if folder.is_dir():
            problems.append(f"{folder}: is left out, as there is no {table_name}")
        return
    needed = ("filename", "label") if split == "train" else ("filename",)
    listed = set()
    for number, row in read_table(table, ("filename", "label"), needed):
        try:
            path, label = child(folder, row["filename"]), word(row.get("label"))
            if label is None and split == "train":
                raise ValueError("the label is empty")
        except ValueError as error:
            problems.append(f"{table}: row {number}: {error}")
            continue
        listed.add(path)
        yield Sample(path, label, split)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path not in listed and path.suffix.lower() in PHOTO_SUFFIXES:
            problems.append(f"{path}: is left out, as {table_name} does not list it")


FORMAT = DataFormat(
    name="kaggle-har",
    summary="Kaggle's Human Action Recognition: Training_set.csv with train/, Testing_set.csv",
    detect=detect,
    load=load,
)
