"""Splits that do not leak: made, saved as files, read back.

Whatever must stay together does: samples of one photo and copies of one file in every method,
and, except in ``stratified``, samples of one group. Classes keep their proportions on every side
as well as that allows (scikit-learn's ``StratifiedGroupKFold``).
"""

from __future__ import annotations

import csv
import os
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import SPLITS, Dataset, Sample, extra, word
from keyact.data.leakage import exact_duplicates, find_leaks, refuse_leaks
from keyact.data.manifest import BOX_COLUMNS, split_of
from keyact.data.tables import read_table
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.replacing import replacing

METHODS = {
    "stratified": "train, val and test with the classes in the same proportions",
    "grouped": "the same, and no group on two sides",
    "k-fold": "K folds, each the test part once; groups stay whole",
    "leave-one-group-out": "a fold for each group, which is its test part",
    "official": "the data set's own splits",
}
"""What `make_splits` can do."""
MAX_FOLDS = 200

_PARTS = 20  # pieces that a share is put together from: shares are exact to 5 %


def make_splits(
    dataset: Dataset,
    method: str = "stratified",
    *,
    k: int = 5,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> list[Dataset]:
    """The data set with other splits, once for each fold.

    Parameters
    ----------
    method : a name of `METHODS`.
    k : number of folds of ``k-fold``.
    val, test : shares; the folds of the other methods take ``val`` of what is not tested on.
        With 0 there is no such part.
    seed : the same seed gives the same splits.

    Returns
    -------
    one data set for each fold, all with the same samples. Samples without a label are in no
    split.

    Raises
    ------
    UnknownNameError : no such method.
    LeakageError : what must stay together would not: a ``stratified`` split of a data set with
        groups, or official splits that share photos.
    KeyactError : too few samples or groups, or shares out of range.
    """
    if method not in METHODS:
        raise UnknownNameError("split method", method, METHODS)
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise KeyactError(f"the shares val {val:g} and test {test:g} leave nothing to train on")
    duplicates = exact_duplicates(sample.path for sample in dataset.samples)
    if method == "official":
        if not any(sample.split for sample in dataset.samples):
            raise KeyactError(f"{dataset.name}: has no splits of its own; choose another method")
        refuse_leaks(dataset, duplicates)
        return [dataset]
    if method == "grouped" and not any(sample.group for sample in dataset.samples):
        raise KeyactError(
            f"{dataset.name}: has no groups; give its table a column group, or type stratified"
        )
    use = np.array([i for i, s in enumerate(dataset.samples) if s.label is not None], np.intp)
    part = replace(dataset, samples=tuple(dataset.samples[i] for i in use))
    if not len(part):
        raise KeyactError(f"{dataset.name}: no sample has a label, so there is nothing to split")
    ties = _ties(part, duplicates, with_groups=method != "stratified")
    labels = part.targets()
    folds = []
    for chosen in _tests(part, labels, ties, method, k, test, seed):
        names = np.full(len(part), "train", dtype=object)
        names[chosen] = "test"
        rest = np.flatnonzero(names == "train")
        share = val / (1 - test) if method in ("stratified", "grouped") else val
        if share > 0:
            names[rest[_share(labels[rest], ties[rest], share, seed + 1, part)]] = "val"
        split: list[str | None] = [None] * len(dataset)
        for i, name in zip(use.tolist(), names.tolist(), strict=True):
            split[i] = name
        fold = with_splits(dataset, split)
        every_label_is_learnt(fold)
        refuse_leaks(fold, duplicates)
        folds.append(fold)
    return folds


def with_splits(dataset: Dataset, splits: Sequence[str | None]) -> Dataset:
    """The same samples in other splits."""
    pairs = zip(dataset.samples, splits, strict=True)
    return replace(dataset, samples=tuple(replace(s, split=name) for s, name in pairs))


def drop_leaks(dataset: Dataset) -> Dataset:
    """The data set without what is on more than one side, which stays on the most held-out one.

    So official test parts stay as they are, and what of them is also in train or val leaves
    those: the samples are in no split, and a line in ``problems`` names each.
    """
    duplicates = exact_duplicates(sample.path for sample in dataset.samples)
    splits = {id(sample): sample.split for sample in dataset.samples}
    problems = []
    for leak in find_leaks(dataset, duplicates):
        kept = max((str(sample.split) for sample in leak.samples), key=SPLITS.index)
        for sample in leak.samples:
            if sample.split != kept and splits[id(sample)] is not None:
                splits[id(sample)] = None
                problems.append(f"{sample.path}: taken out of {sample.split}: {leak}")
    kept_in = [splits[id(sample)] for sample in dataset.samples]
    return with_splits(replace(dataset, problems=(*dataset.problems, *problems)), kept_in)


def file_names(folds: int) -> list[str]:
    """Of the files that `save_splits` writes."""
    if folds == 1:
        return ["split.csv"]
    width = len(str(folds))
    return [f"fold-{number:0{width}}.csv" for number in range(1, folds + 1)]


def save_splits(folds: Sequence[Dataset], folder: str | Path) -> list[Path]:
    """Write ``split.csv``, or ``fold-1.csv`` and so on: manifests of path, label, split and group.

    Paths are told from the data set's folder, so a file is read back with
    ``load_dataset(DATA, splits=FILE)`` and is also a manifest of its own, with ``root=DATA``.

    Raises
    ------
    KeyactError : the folder has folds of another split, or cannot be written.
    """
    names = file_names(len(folds))
    if len(folds) > 1:
        stale = sorted({p.name for p in Path(folder).glob("fold-*.csv")} - set(names))
        if stale:
            raise KeyactError(
                f"{folder}: has {', '.join(stale[:3])} of another split in it; take another folder"
            )
    paths = []
    for name, fold in zip(names, folds, strict=True):
        boxes = any(sample.box for sample in fold.samples)
        target = Path(folder) / name
        with replacing(target) as part, part.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("path", "label", "split", "group", *(BOX_COLUMNS if boxes else ())))
            for sample in fold.samples:
                row = [_told(fold, sample), sample.label, sample.split, sample.group]
                if boxes:
                    row += [f"{side:.10g}" for side in sample.box] if sample.box else [""] * 4
                rows.writerow(row)
        paths.append(target)
    return paths


def read_split(dataset: Dataset, file: str | Path, *, refuse: bool = True) -> Dataset:
    """The data set with the splits and groups of a file of `save_splits`, checked for leaks again.

    Groups that samples have already stay. A sample that the file does not list is in no split, and
    a row that fits no sample is left out; each is one of the data set's ``problems``, as are copies
    of a file on two sides, which public data sets have.

    Parameters
    ----------
    refuse : False leaves the leaks to `keyact.data.check`.

    Raises
    ------
    InputError : not such a file, or one of another data set.
    LeakageError : a group, or a photo that is listed twice, is on more than one side.
    """
    listed: dict[str, str | None] = {}
    groups: dict[str, deque[str | None]] = defaultdict(deque)
    problems = []
    for number, row in read_table(Path(file), ("path", "split", "group"), ("path", "split")):
        try:
            split, group = split_of(row["split"]), word(row.get("group", ""))
        except ValueError as error:
            problems.append(f"{file}: row {number}: {error}")
            continue
        if listed.setdefault(row["path"], split) != split:
            raise InputError(f"{file}: row {number}: {row['path']} is in two splits")
        groups[row["path"]].append(group)
    samples = []
    told = [_told(dataset, sample) for sample in dataset.samples]
    for name, sample in zip(told, dataset.samples, strict=True):
        # Of two people in one photo the rows come in the order of the samples.
        group = groups[name].popleft() if groups[name] else None
        samples.append(replace(sample, split=listed.get(name), group=sample.group or group))
        if name not in listed:
            problems.append(f"{file}: does not list {name}, which is in no split therefore")
    if not any(sample.split for sample in samples):
        raise InputError(f"{file}: lists no sample of {dataset.name}; it is of another data set")
    problems += [f"{file}: {name}: no such sample" for name in listed.keys() - set(told)]
    found = replace(dataset, samples=tuple(samples))
    if refuse:
        refuse_leaks(found, [])
        problems = [*copies_across(found), *problems]
    return replace(found, problems=(*dataset.problems, *problems))


def copies_across(dataset: Dataset) -> list[str]:
    """A line of warning when copies of a labelled file are on more than one side, or none."""
    labelled = dataset.labelled()
    duplicates = exact_duplicates(s.path for s in labelled.samples if s.split is not None)
    copies = [leak for leak in find_leaks(labelled, duplicates) if leak.kind == "copies of a photo"]
    if not copies:
        return []
    return [
        f"{dataset.name}: on two sides ({len(copies)}): {copies[0]}; leave such copies out of "
        "training with: keyact data split --method official --drop-leaks"
    ]


def refuse_changes(dataset: Dataset, folder: Path) -> None:
    """Check that a run goes on with the samples that it was begun with.

    Parameters
    ----------
    folder : of the run; ``split.csv`` in it says what it was begun with. Old runs have none.

    Raises
    ------
    InputError : names the first sample with another label or split, or one that came or went.
    """
    (file,) = (folder / name for name in file_names(1))
    if not file.exists():
        return
    columns = ("path", "label", "split")
    rows = read_table(file, columns, columns)
    before = Counter((row["path"], row["label"], row["split"]) for _, row in rows)
    now = Counter((_told(dataset, s), s.label or "", s.split or "") for s in dataset.samples)
    changed = sorted({path for path, *_ in [*(before - now), *(now - before)]})
    if changed:
        name = changed[0]
        more = f" ({len(changed)} differ)" if len(changed) > 1 else ""
        raise InputError(
            f"{folder}: was begun with other data: {name} was {_sides(before, name)}, and is "
            f"{_sides(now, name)} now{more}; begin anew with another --name, or go on with the old "
            "data"
        )


def _sides(rows: Iterable[tuple[str, str, str]], path: str) -> str:
    """Label and split of a sample, in words."""
    found = sorted((label, split) for name, label, split in rows if name == path)
    told = [f"{label or 'without a label'} in {split or 'no split'}" for label, split in found]
    return " and ".join(told) or "not there"


def _told(dataset: Dataset, sample: Sample) -> str:
    """A sample's path in a table."""
    if sample.path.is_relative_to(dataset.root):
        return sample.path.relative_to(dataset.root).as_posix()
    return Path(os.path.relpath(sample.path, dataset.root)).as_posix()


def _tests(
    dataset: Dataset,
    labels: NDArray[np.intp],
    ties: NDArray[np.intp],
    method: str,
    k: int,
    test: float,
    seed: int,
) -> Iterator[NDArray[np.intp]]:
    """Indices of the test part, for each fold."""
    if method in ("stratified", "grouped"):
        yield _share(labels, ties, test, seed, dataset)
    elif method == "k-fold":
        if not 2 <= k <= MAX_FOLDS:
            raise KeyactError(f"the number of folds is 2 to {MAX_FOLDS}, not {k}")
        yield from _pieces(labels, ties, k, seed, dataset)
    else:
        groups = [sample.group for sample in dataset.samples]
        lacking = [s for s in dataset.samples if s.group is None]
        count = len(set(groups))
        if lacking:
            raise KeyactError(
                f"{dataset.name}: {len(lacking)} samples have no group, such as {lacking[0].path}"
            )
        if not 2 <= count <= MAX_FOLDS:
            raise KeyactError(
                f"{dataset.name}: {count} groups make {count} folds, which are not 2 to "
                f"{MAX_FOLDS}; type k-fold to put groups together"
            )
        leave = extra("sklearn.model_selection").LeaveOneGroupOut()
        for _, chosen in leave.split(labels, labels, np.array(groups, dtype=str)):
            yield chosen


def _share(
    labels: NDArray[np.intp], ties: NDArray[np.intp], share: float, seed: int, dataset: Dataset
) -> NDArray[np.intp]:
    """Indices of about this share of the samples."""
    if share == 0:
        return np.zeros(0, np.intp)
    most = min(_PARTS, int(np.bincount(labels).max()), len(np.unique(ties)))
    part = Fraction(share).limit_denominator(max(most, 1))
    part = part if 0 < part < 1 else Fraction(1, max(most, 2))
    pieces = _pieces(labels, ties, part.denominator, seed, dataset)
    return np.sort(np.concatenate(pieces[: part.numerator]))


def _pieces(
    labels: NDArray[np.intp], ties: NDArray[np.intp], count: int, seed: int, dataset: Dataset
) -> list[NDArray[np.intp]]:
    """Indices of ``count`` pieces of about the same size and class proportions."""
    sklearn = extra("sklearn.model_selection")
    # Its time grows with the number of groups, so all but a few of the samples that are tied to
    # no other are split apart from the rest, without groups.
    alone = _plenty_alone(labels, ties, count, seed)
    pieces: list[list[NDArray[np.intp]]] = [[] for _ in range(count)]
    try:
        for chosen, kind in (
            (np.flatnonzero(alone), sklearn.StratifiedKFold),
            (np.flatnonzero(~alone), sklearn.StratifiedGroupKFold),
        ):
            if not len(chosen):
                continue
            splitter: Any = kind(count, shuffle=True, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a small class: the result tells
                split = splitter.split(chosen, labels[chosen], ties[chosen])
                for piece, (_, inside) in zip(pieces, split, strict=True):
                    piece.append(chosen[inside])
    except ValueError as error:
        fewest, label = min((n, i) for i, n in Counter(labels.tolist()).items())
        raise KeyactError(
            f"{dataset.name}: too few samples for {count} parts: {dataset.labels[label]} has "
            f"{fewest} ({error})"
        ) from None
    return [np.sort(np.concatenate(piece)) for piece in pieces]


def _plenty_alone(
    labels: NDArray[np.intp], ties: NDArray[np.intp], count: int, seed: int
) -> NDArray[np.bool_]:
    """(N,) tied to no other sample, and beyond the first ``count`` such ones of its class."""
    single: NDArray[np.bool_] = np.asarray(np.bincount(ties)[ties] == 1)
    if single.all():
        return single
    alone = np.zeros(len(ties), bool)
    order = np.random.default_rng(seed).permutation(len(ties))
    for label in np.unique(labels):
        mine = order[single[order] & (labels[order] == label)]
        alone[mine[count:]] = True
    if not alone.any() or np.bincount(labels[alone]).max() < count:
        alone[:] = False
    return alone


def _ties(
    dataset: Dataset, duplicates: Sequence[Sequence[Path]], *, with_groups: bool
) -> NDArray[np.intp]:
    """(N,) a number that samples share if they must stay together, through whatever they share."""
    parent = list(range(len(dataset)))

    def top(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    copies = {path: str(same[0]) for same in duplicates for path in same}
    first: dict[tuple[str, str], int] = {}
    for i, sample in enumerate(dataset.samples):
        keys = [("photo", copies.get(sample.path, str(sample.path)))]
        if with_groups and sample.group is not None:
            keys.append(("group", sample.group))
        for key in keys:
            parent[top(i)] = top(first.setdefault(key, i))
    return np.array([top(i) for i in range(len(parent))], np.intp)


def every_label_is_learnt(fold: Dataset) -> None:
    """Refuse splits with an action that nothing is left to learn from.

    Raises
    ------
    KeyactError : names the actions.
    """
    learnt = {sample.label for sample in fold.samples if sample.split == "train"}
    tested = {sample.label for sample in fold.samples if sample.split}
    missing = sorted(str(label) for label in tested - learnt)
    if missing:
        raise KeyactError(
            f"{fold.name}: no sample of {', '.join(missing[:5])} is left to train on; take fewer "
            "folds or smaller shares, or add samples"
        )
