"""What ``keyact evaluate``, ``robustness`` and ``compare`` share: labelled photos and progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console

from keyact.cli.terminal import complain_of, complain_of_many, progress_bar
from keyact.errors import InputError

if TYPE_CHECKING:
    from keyact.data.base import Dataset

Data: TypeAlias = Annotated[
    str, typer.Argument(metavar="DATA", help="Labelled photos: a folder or a manifest.")
]
Format: TypeAlias = Annotated[
    str | None, typer.Option("--format", help="Format of DATA; told by its files when not given.")
]
Split: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="train, val, test or all. Without it: val, or where there is none test (of sequences) "
        "or everything.",
    ),
]
Splits: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--splits",
        metavar="FILE",
        dir_okay=False,
        help="Splits of DATA: a file of `keyact data split`, or split.csv of a run.",
    ),
]
Limit: TypeAlias = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Take this many photos, evenly from the labels."),
]
OnlyKnown: TypeAlias = Annotated[
    bool,
    typer.Option("--only-known", help="Leave photos out whose label the model does not know."),
]
Jobs: TypeAlias = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Photos at once; one per CPU when not given.")
]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
Resamples: TypeAlias = Annotated[
    int, typer.Option("--resamples", min=0, help="Of the bootstrap; 0 leaves intervals out.")
]

ProgressOf: TypeAlias = Callable[[str], Callable[[int, int], None]]


def labelled(
    data: str,
    format: str | None,
    splits: Path | None,
    split: str | None,
    limit: int | None,
    seed: int,
    messages: Console,
    **reading: Any,
) -> tuple[Dataset, str | None]:
    """The photos that the options ask for, and the name of their split.

    What of the data could not be used is told. ``reading`` is of `keyact.cli.options.reading`.

    Raises
    ------
    KeyactError : as `keyact.data.load_dataset` and `Dataset.subset`.
    """
    from keyact.data import load_dataset

    dataset = load_dataset(data, format, splits=splits, **reading)
    complain_of_many(dataset.problems, messages)
    if split is None and any(sample.split for sample in dataset.samples):
        split = "val"
    elif split == "all":
        split = None
    if split is not None:
        dataset = dataset.subset(split)
    return dataset if limit is None else _fewer(dataset, limit, seed), split


def _fewer(dataset: Dataset, limit: int, seed: int) -> Dataset:
    """That many samples, of each label alike as far as there are."""
    import numpy as np

    rng = np.random.default_rng(seed)
    turn: dict[str | None, int] = {}
    place = {}
    for i in rng.permutation(len(dataset)).tolist():
        label = dataset.samples[i].label
        if label is not None:
            place[i] = turn[label] = turn.get(label, -1) + 1
    kept = sorted(sorted(place, key=lambda i: place[i])[:limit])
    return replace(dataset, samples=tuple(dataset.samples[i] for i in kept))


class Failures:
    """Photos that cannot be read: a line each, and a count for the exit status."""

    def __init__(self, messages: Console) -> None:
        self.count = 0
        self._messages = messages

    def __call__(self, source: str, error: InputError) -> None:
        self.count += 1
        complain_of(source, error, self._messages)


@contextmanager
def bars(messages: Console) -> Iterator[ProgressOf]:
    """A progress bar with the time left, one at a time, while the block runs.

    What is yielded takes the name of a bar and gives what is told how many are done, of how many.
    """
    with progress_bar(messages) as progress:

        def start(what: str) -> Callable[[int, int], None]:
            for task in progress.task_ids:
                progress.remove_task(task)
            task = progress.add_task(what, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield start
