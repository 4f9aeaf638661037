"""What every labelled data set is read into, and what every format of data sets looks like."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyact.backends import optional_import
from keyact.errors import InputError, KeyactError

Box = tuple[float, float, float, float]
Kind = Literal["photos", "videos"]

SPLITS = ("train", "val", "test")
"""Names of the splits; `split_name` knows what else data sets call them."""
MAX_SAMPLES = 5_000_000
"""Samples per data set: all are held in memory."""
MAX_NAME_CHARS = 1024
"""Length of a label, a group or a path within a data set."""
MAX_TABLE_BYTES = 2**30
"""Size of a table or list that names samples."""

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Sample:
    """One labelled photo or clip.

    Attributes
    ----------
    path : absolute; whether there is such a file is seen when it is read.
    label : None where the data set does not tell, as in the test part of a competition.
    split : ``"train"``, ``"val"``, ``"test"`` or None.
    group : what must not be on both sides of a split: subject, video, near-duplicate set.
    box : the person that the label is about, xyxy in photo pixels, where the data set says.
    """

    path: Path
    label: str | None
    split: str | None = None
    group: str | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Dataset:
    """Labelled photos, or clips.

    Attributes
    ----------
    name : of the folder or file.
    root : folder that the samples' paths are told from.
    samples : in the order of the source; nothing that is listed there is missing without a
        line in ``problems``.
    labels : all labels, sorted or in the data set's own order; also of an empty `subset`.
    kind : what the samples are.
    format : name of the `DataFormat` that read it.
    problems : one line for each entry that could not be used, and for what else is amiss.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    kind: Kind = "photos"
    format: str = ""
    problems: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    def subset(self, split: str) -> Dataset:
        """The samples of one split, with all labels.

        Raises
        ------
        KeyactError : there is none; the message says which splits there are.
        """
        wanted = split_name(split) or split
        kept = tuple(sample for sample in self.samples if sample.split == wanted)
        if not kept:
            there = ", ".join(sorted({str(s.split) for s in self.samples if s.split})) or "none"
            raise KeyactError(
                f"{self.name}: no sample is in the split {split!r} (splits: {there}); make splits "
                "with: keyact data split"
            )
        return replace(self, samples=kept)

    def labelled(self) -> Dataset:
        """The samples that have a label."""
        return replace(self, samples=tuple(s for s in self.samples if s.label is not None))

    def targets(self) -> NDArray[np.intp]:
        """(N,) index of each sample's label in ``labels``.

        Raises
        ------
        KeyactError : a sample has no label; see `labelled`.
        """
        index = {label: i for i, label in enumerate(self.labels)}
        for sample in self.samples:
            if sample.label is None:
                raise KeyactError(f"{sample.path}: has no label, so it cannot be learnt from")
        return np.array([index[str(sample.label)] for sample in self.samples], np.intp)


@dataclass(frozen=True)
class DataFormat:
    """One way to lay a data set out; ``tests/data/test_dataset_contract.py`` holds it to this.

    Attributes
    ----------
    name : what the user types.
    summary : for help texts.
    detect : whether a path looks like it. Cheap: names of files are looked at, not contents.
    load : the data set at a path, with ``options`` as keywords.
    options : keywords that ``load`` takes, and what they are.
    """

    name: str
    summary: str
    detect: Callable[[Path], bool]
    load: Callable[..., Dataset]
    options: dict[str, str] = field(default_factory=dict)


def make_dataset(
    source: Path,
    root: Path,
    samples: Iterable[Sample],
    problems: Iterable[str],
    *,
    format: str,
    labels: Iterable[str] | None = None,
    kind: Kind = "photos",
) -> Dataset:
    """Put a data set together.

    Parameters
    ----------
    source : what was read; names the data set.
    labels : in their own order; None sorts those of the samples.

    Raises
    ------
    InputError : nothing could be used, or more than `MAX_SAMPLES`.
    """
    kept: list[Sample] = []
    for sample in samples:
        kept.append(sample)
        if len(kept) > MAX_SAMPLES:
            raise InputError(f"{source}: more than {MAX_SAMPLES} samples")
    left_out = tuple(problems)
    if not kept:
        why = f"; the first of {len(left_out)} problems: {left_out[0]}" if left_out else ""
        raise InputError(f"{source}: has no {kind} that could be used{why}")
    if labels is None:
        labels = sorted({sample.label for sample in kept if sample.label is not None})
    name = source.resolve().name or str(source)
    return Dataset(name, root, tuple(kept), tuple(labels), kind, format, left_out)


class _Placed(Protocol):
    @property
    def split(self) -> str | None: ...


One = TypeVar("One", bound=_Placed)


def learnt_from(samples: Iterable[One]) -> list[One]:
    """The samples, or recordings, of the split ``train``; all of them where none has a split.

    One without a split beside others that have one was taken out, as by ``keyact data split
    --drop-leaks``.

    Raises
    ------
    KeyactError : there are splits, and none is ``train``.
    """
    everything = list(samples)
    there = sorted({sample.split for sample in everything if sample.split})
    if not there:
        return everything
    train = [sample for sample in everything if split_name(sample.split or "") == "train"]
    if not train:
        raise KeyactError(
            f"there is nothing to train on: of the splits {', '.join(there)} none is train, and "
            "what is in no split is left out where others are in one; write train into the column "
            "split, or leave the column empty everywhere"
        )
    return train


def in_no_split(samples: Iterable[One]) -> list[One]:
    """The samples, or recordings, without a split where others have one; see `learnt_from`."""
    everything = list(samples)
    out = [sample for sample in everything if sample.split is None]
    return out if len(out) < len(everything) else []


def split_name(text: str) -> str | None:
    """One of `SPLITS` for any of its usual names, or None."""
    return _SPLIT_NAMES.get(text.strip().casefold())


def child(root: Path, name: str) -> Path:
    """The path of a name that stands in a file, below the folder ``root``.

    Raises
    ------
    ValueError : it is empty, too long, or leads out of the folder: a list of unknown origin must
        not make keyact read other files. ``str(error)`` says which.
    """
    text = name.strip()
    if not text or len(text) > MAX_NAME_CHARS or "\0" in text:
        raise ValueError("the path is empty, too long or no path")
    # Windows tools write backslashes; no photo's name on other systems has one by accident.
    path = Path(os.path.normpath(root / text.replace("\\", "/")))
    if not path.is_relative_to(root):
        raise ValueError(f"{text!r} leads out of {root}; say with root= where the files are")
    return path


def word(value: object) -> str | None:
    """A label, group or split as it stands in a file, or None when the field is empty.

    Raises
    ------
    ValueError : it is too long, or has characters that would break a terminal or a table.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if len(text) > MAX_NAME_CHARS or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is too long for a name or cannot be printed")
    return text


def absolute(path: str | Path) -> Path:
    """An absolute path without ``..``; links are kept, as data sets are often linked to."""
    return Path(os.path.abspath(Path(path).expanduser()))


def extra(module: str) -> Any:
    """A module of the extra ``train``; untyped, as it may be absent where types are checked.

    Raises
    ------
    KeyactError : it is not installed; the message says what to type.
    """
    return optional_import(module, "train")
