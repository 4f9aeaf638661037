"""What every sequence format looks like, and what file names and folders tell."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from keyact.errors import InputError
from keyact.formats.base import Report, refuse
from keyact.sequences.sequence import Sequence

MAX_FILES = 1_000_000
MAX_FILE_BYTES = 8 * 2**30
MAX_TEXT_BYTES = 256 * 2**20
MANIFEST = "manifest.csv"

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val",
          "validation": "val", "test": "test", "testing": "test"}  # fmt: skip
"""How folders and files call the splits."""

# Kinect data sets: action, subject, trial. UTD-MHAD (Chen et al., ICIP 2015) and MSR-Action3D
# (Li et al., CVPRW 2010) train on the odd subjects and test on the even.
_KINECT = re.compile(r"(?:^|_)a(\d{1,3})_s(\d{1,3})_[te]\d{1,3}(?:_|$)")
# NTU RGB+D (Shahroudy et al., CVPR 2016; 120 classes: Liu et al., TPAMI 2020), cross-subject.
_NTU = re.compile(r"S\d{3}C\d{3}P(\d{3})R\d{3}A(\d{3})")
_NTU_TRAIN = {
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50,
    52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103,
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to read sequences.

    Attributes
    ----------
    layout : of the joints; None tells it by their number and where they lie.
    fps : for files that do not give it.
    labels : names for formats that number the actions, the first for the lowest number.
    report : what to do with a file or entry that cannot be used; by default it raises.
    array : for formats that hold several arrays: the name of the one with the key points.
    """

    layout: str | None = None
    fps: float | None = None
    labels: tuple[str, ...] | None = None
    report: Report = refuse
    array: str | None = None

    def label(self, number: int, first: int = 0) -> str:
        """Name of an action by its number."""
        if self.labels is None:
            return str(number)
        if not 0 <= number - first < len(self.labels):
            raise InputError(f"action {number}, but {len(self.labels)} labels were given")
        return self.labels[number - first]


@dataclass(frozen=True)
class SequenceFormat:
    """One format; ``tests/sequences/test_format_contract.py`` holds it to this.

    Attributes
    ----------
    name : what the user types.
    summary : for help texts.
    suffixes : of its files, in small letters.
    sniff : whether a file with such a suffix is of this format, by its first bytes or names.
    read : the sequences of one file.
    together : what only all files of a folder tell, such as groups.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path], bool]
    read: Callable[[Path, Options], Iterator[Sequence]]
    together: Callable[[list[Sequence]], list[Sequence]] = list


def files_of(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files with such a suffix below a folder, in the order of their names; hidden left out."""
    found = []
    for path in folder.rglob("*"):
        if path.suffix.lower() in suffixes and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            if path.name == MANIFEST or not path.is_file():
                continue
            found.append(path)
            if len(found) > MAX_FILES:
                raise InputError(f"{folder}: more than {MAX_FILES} files")
    return sorted(found)


def checked(path: Path, limit: int = MAX_FILE_BYTES) -> Path:
    """A regular file of at most ``limit`` bytes.

    Raises
    ------
    InputError : it is not.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if size > limit:
        raise InputError(f"{path}: has {size} bytes, more than {limit}")
    return path


def starts_with(path: Path, *heads: bytes) -> bool:
    """Whether a file starts with one of these, white space left out."""
    try:
        with path.open("rb") as file:
            return file.read(256).lstrip().startswith(heads)
    except OSError:
        return False


def named(sequence: Sequence, options: Options) -> Sequence:
    """Fill in what the file's name tells of a Kinect or NTU recording, where it is not known."""
    stem = PurePosixPath(sequence.name).name
    facts: dict[str, str] = {}
    if found := _KINECT.search(stem):
        action, subject = int(found[1]), int(found[2])
        label = options.label(action, 1) if options.labels else f"a{action}"
        facts = {"label": label, "group": f"s{subject}", "split": _side(subject % 2 == 1)}
    elif found := _NTU.search(stem):
        subject, action = int(found[1]), int(found[2])
        label = options.label(action, 1) if options.labels else f"A{action:03d}"
        facts = {
            "label": label, "group": f"P{subject:03d}", "split": _side(subject in _NTU_TRAIN)
        }  # fmt: skip
    lacking = {key: value for key, value in facts.items() if getattr(sequence, key) is None}
    return replace(sequence, **lacking) if lacking else sequence  # type: ignore[arg-type]


def placed(sequence: Sequence, path: Path, folder: Path) -> Sequence:
    """Fill in what folders tell: ``label/file`` or ``split/label/file``."""
    parts = list(path.relative_to(folder).parts[:-1])
    split = SPLITS.get(parts[0].lower()) if parts else None
    label = parts[-1] if len(parts) > (1 if split else 0) else None
    if label is not None and label.lower() in ("labels", "annotations", "skeleton", "skeletons"):
        label = None
    return replace(
        sequence,
        split=split or sequence.split,
        label=label if sequence.label is None else sequence.label,
    )


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of a folder's ``manifest.csv`` by ``path``; empty when there is none.

    Raises
    ------
    InputError : it has no column ``path``, or is not a CSV text.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        with checked(path, MAX_TEXT_BYTES).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if rows and "path" not in rows[0]:
        raise InputError(f"{path}: needs a column named path (then label, split, group)")
    return {PurePosixPath(str(row["path"]).replace("\\", "/")).as_posix(): row for row in rows}


def manifest_fields(row: dict[str, str]) -> dict[str, str]:
    """What a manifest's row says of a sequence."""
    return {key: row[key] for key in ("label", "split", "group") if row.get(key)}


def _side(train: bool) -> str:
    return "train" if train else "test"
