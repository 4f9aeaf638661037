"""What a model said about each photo of a labelled set: the one input of every metric."""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.data.tables import delimiter_of
from keyact.errors import InputError
from keyact.replacing import replacing

MAX_BYTES = 2**30  # of a predictions file once unpacked: 18 classes of 10 million photos
_TOLERANCE = 1e-3  # a CSV's decimals, or half precision, may leave a sum a little off 1
_SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of C actions for N photos, people or sequences with known labels.

    Attributes
    ----------
    labels : the C actions, in the order of the columns.
    paths : (N,) where each row comes from.
    targets : (N,) index of the true action.
    probabilities : (N, C) float32, each row sums to 1; to less where the rest is for none of
        the labels.
    groups : (N,) rows of one group (a subject, a video, near-duplicates) are not independent.
    attributes : name -> (N,) numbers or texts that the subgroup tables go by.
    model, dataset : what both are called in reports.
    unknown_threshold : below this probability the model answers "unknown".
    failed : photos that could not be read and are in no row.

    Raises
    ------
    ValueError : arrays that do not fit each other, or numbers that are no probabilities.
    """

    labels: tuple[str, ...]
    paths: tuple[str, ...]
    targets: NDArray[np.intp]
    probabilities: NDArray[np.float32]
    groups: tuple[str, ...] | None = None
    attributes: dict[str, NDArray[Any]] = field(default_factory=dict)
    model: str = ""
    dataset: str = ""
    unknown_threshold: float = 0.0
    failed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count, classes = len(self.paths), len(self.labels)
        targets = np.array(self.targets, np.intp)
        probabilities = np.array(self.probabilities, np.float32)
        attributes = {name: np.array(value) for name, value in self.attributes.items()}
        if len(set(self.labels)) != classes or classes == 0:
            raise ValueError("labels must be one or more, each once")
        if probabilities.shape != (count, classes) or targets.shape != (count,):
            raise ValueError(
                f"{count} paths and {classes} labels need probabilities ({count}, {classes}) and "
                f"targets ({count},), got {probabilities.shape} and {targets.shape}"
            )
        for name, value in attributes.items():
            if value.shape != (count,):
                raise ValueError(f"attribute {name!r} must be ({count},), got {value.shape}")
        if self.groups is not None and len(self.groups) != count:
            raise ValueError(f"{count} rows, but {len(self.groups)} groups")
        if count and not (targets.min() >= 0 and targets.max() < classes):
            raise ValueError(f"targets must lie in [0, {classes})")
        if count and not (
            np.isfinite(probabilities).all()
            and probabilities.min() >= 0
            and probabilities.sum(1, dtype=np.float64).max() <= 1 + _TOLERANCE
        ):
            raise ValueError(
                "each row of probabilities must be finite, not negative and sum to 1, or to less "
                "where the rest is for none of the labels"
            )
        if not 0 <= self.unknown_threshold <= 1:
            raise ValueError(f"unknown_threshold must lie in [0, 1], not {self.unknown_threshold}")
        arrays: list[NDArray[Any]] = [targets, probabilities, *attributes.values()]
        for array in arrays:
            array.flags.writeable = False
        for name, made in (
            ("targets", targets),
            ("probabilities", probabilities),
            ("attributes", attributes),
        ):
            object.__setattr__(self, name, made)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def predicted(self) -> NDArray[np.intp]:
        """(N,) index of the most probable action; the first of equals."""
        return np.asarray(self.probabilities.argmax(1), np.intp)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) probability of the most probable action."""
        return np.asarray(self.probabilities.max(1), np.float32)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the most probable action is the true one."""
        return np.asarray(self.predicted == self.targets, np.bool_)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Predictions:
        """The given rows, in their order."""
        chosen = np.arange(len(self))[rows]
        return Predictions(
            self.labels,
            tuple(self.paths[i] for i in chosen),
            self.targets[chosen],
            self.probabilities[chosen],
            None if self.groups is None else tuple(self.groups[i] for i in chosen),
            {name: value[chosen] for name, value in self.attributes.items()},
            self.model,
            self.dataset,
            self.unknown_threshold,
            self.failed,
        )

    def save(self, path: str | Path) -> None:
        """Write ``.npz`` (everything) or ``.csv`` (no names and threshold, for a spreadsheet)."""
        path = Path(path)
        _format(path)
        if path.suffix.lower() == ".csv":
            self._save_csv(path)
            return
        arrays: dict[str, Any] = {
            "schema": np.array(_SCHEMA),
            "labels": np.array(self.labels, str),
            "paths": np.array(self.paths, str),
            "targets": self.targets,
            "probabilities": self.probabilities,
            "model": np.array(self.model, str),
            "dataset": np.array(self.dataset, str),
            "unknown_threshold": np.array(self.unknown_threshold),
            "failed": np.array(self.failed, str),
            **{f"attribute:{name}": value for name, value in self.attributes.items()},
        }
        if self.groups is not None:
            arrays["groups"] = np.array(self.groups, str)
        with replacing(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def _save_csv(self, path: Path) -> None:
        names = [f"attribute:{name}" for name in self.attributes]
        head = ["path", "label", "predicted", "confidence", "group", *names]
        predicted, confidence = self.predicted, self.confidence
        with (
            replacing(path) as part,
            part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*head, *(f"p:{label}" for label in self.labels)])
            for i, row in enumerate(self.probabilities):
                table.writerow(
                    [
                        self.paths[i],
                        self.labels[self.targets[i]],
                        self.labels[predicted[i]],
                        f"{confidence[i]:.6f}",
                        "" if self.groups is None else self.groups[i],
                        *(value[i] for value in self.attributes.values()),
                        *(str(value) for value in row),  # the shortest text that reads back equal
                    ]
                )


def load_predictions(path: str | Path) -> Predictions:
    """Read what :meth:`Predictions.save` wrote, or any CSV with the columns
    ``path,label,p:LABEL...`` (and ``group``, ``attribute:NAME...`` if there are).

    A spreadsheet's CSV is read as well: with a byte order mark, semicolons or tabs between the
    columns, probabilities with a decimal comma, or spaces round the names.

    Raises
    ------
    InputError : unreadable, too large, or not predictions; nothing in it is ever unpickled.
    """
    path = Path(path)
    try:
        if _format(path) == ".csv":
            return _load_csv(path)
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB")
        with np.load(path, allow_pickle=False) as arrays:
            return _from_arrays({name: arrays[name] for name in arrays.files})
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, csv.Error, EOFError) as error:
        raise InputError(f"{path}: not a file of predictions ({error})") from None


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise InputError(f"{path}: predictions are kept as .npz or .csv")
    return suffix


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> Predictions:
    if int(arrays["schema"]) != _SCHEMA:
        raise ValueError(f"schema {arrays['schema']}, this keyact reads {_SCHEMA}")
    texts = {name: tuple(map(str, arrays[name].tolist())) for name in ("labels", "paths", "failed")}
    groups = arrays.get("groups")
    return Predictions(
        texts["labels"],
        texts["paths"],
        arrays["targets"],
        arrays["probabilities"],
        None if groups is None else tuple(map(str, groups.tolist())),
        {name[10:]: value for name, value in arrays.items() if name.startswith("attribute:")},
        str(arrays["model"]),
        str(arrays["dataset"]),
        float(arrays["unknown_threshold"]),
        texts["failed"],
    )


def _load_csv(path: Path) -> Predictions:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        head = file.readline()
        delimiter = delimiter_of(head)
        spaced = f"{delimiter} " in head  # written "a, b": the space belongs to no field
        file.seek(0)
        table = csv.reader(file, delimiter=delimiter, skipinitialspace=spaced)
        columns = [_column_name(name) for name in next(table, [])]
        rows = [
            dict(zip_longest(columns, row[: len(columns)], fillvalue="")) for row in table if row
        ]
    labels = tuple(name[2:] for name in columns if name.startswith("p:"))
    if not labels or not {"path", "label"} <= set(columns):
        found = ", ".join(name[:40] for name in columns[:20]) or "none"
        raise ValueError(
            f"wants the columns path, label and a p:LABEL for every action; found are {found}"
        )
    if not rows:
        raise ValueError("has no row below the names of its columns")
    twice = [name for name, times in Counter(columns).items() if name and times > 1]
    if twice:
        raise ValueError(f"two columns are named {twice[0]!r}; leave one out")
    place = {label: i for i, label in enumerate(labels)}
    for row in rows:
        row["label"] = row["label"].strip()
    strange = sorted({row["label"] for row in rows} - set(place))
    if strange:
        raise ValueError(f"label {strange[0]!r} has no column p:{strange[0]}")
    groups = tuple(row.get("group") or "" for row in rows)
    return Predictions(
        labels,
        tuple(row["path"] for row in rows),
        np.array([place[row["label"]] for row in rows], np.intp),
        np.array([[_number(row[f"p:{label}"]) for label in labels] for row in rows], np.float32),
        groups if any(groups) else None,
        {
            name[10:]: _column([row[name] for row in rows])
            for name in columns
            if name.startswith("attribute:")
        },
        model=path.stem,
    )


def _column_name(text: str) -> str:
    kind, colon, name = text.strip().partition(":")
    return f"{kind}{colon}{name.strip()}"


def _number(text: str) -> float:
    """With a point, or with the comma of the spreadsheets that write semicolons."""
    return float(text.replace(",", "."))


def _column(texts: list[str]) -> NDArray[Any]:
    """Whole numbers, numbers, or texts: whichever all of the column are."""
    for kind in (np.int64, np.float64):
        try:
            return np.array([kind(text) for text in texts])
        except ValueError:
            continue
    return np.array(texts, str)


def told_again(kept: Predictions, on_error: Callable[[str, InputError], None] | None) -> None:
    """Say of predictions that were kept, too, which photos are not among them."""
    if on_error is None:
        return
    for path in kept.failed:
        on_error(path, InputError(f"{path}: could not be read when this was measured"))
