"""What is on more than one side of a split: groups, photos listed twice, copies of a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyact.data.base import Dataset, Sample
from keyact.data.store import content_hash
from keyact.errors import KeyactError

MAX_EXAMPLES = 3
MAX_FILE_BYTES = 2**32
"""Larger files are not compared."""


class LeakageError(KeyactError):
    """The same thing is learnt from and tested on, or chosen by."""


@dataclass(frozen=True)
class Leak:
    """One thing that is on more than one side.

    Attributes
    ----------
    kind : ``"group"``, ``"photo listed twice"`` or ``"copies of a photo"``.
    what : name of the group, or of the photo.
    samples : all of its samples.
    """

    kind: str
    what: str
    samples: tuple[Sample, ...]

    def __str__(self) -> str:
        sides: dict[str, Sample] = {}
        for sample in self.samples:
            sides.setdefault(str(sample.split), sample)
        where = " and ".join(f"{_short(sample.path)} in {split}" for split, sample in sides.items())
        return f"{self.kind} {self.what} ({where})"


def exact_duplicates(paths: Iterable[Path]) -> list[list[Path]]:
    """Files of the same bytes, two or more in each list; what cannot be read is left out.

    Only files of the same size are read.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        try:
            if path.is_file() and (size := path.stat().st_size) <= MAX_FILE_BYTES:
                by_size[size].append(path)
        except OSError:
            continue
    found: dict[tuple[int, str], list[Path]] = defaultdict(list)
    for size, same in by_size.items():
        for path in same if len(same) > 1 else ():
            try:
                found[size, content_hash(path.read_bytes())].append(path)
            except OSError:
                continue
    return [same for same in found.values() if len(same) > 1]


def find_leaks(dataset: Dataset, duplicates: Sequence[Sequence[Path]]) -> Iterator[Leak]:
    """What is on more than one side of the data set's own splits.

    Parameters
    ----------
    duplicates : of `exact_duplicates`.
    """
    yield from _across(dataset, "group", lambda sample: sample.group)
    yield from _across(dataset, "photo listed twice", lambda sample: str(sample.path))
    copies = {path: str(same[0]) for same in duplicates for path in same}
    yield from _across(dataset, "copies of a photo", lambda sample: copies.get(sample.path))


def refuse_leaks(dataset: Dataset, duplicates: Sequence[Sequence[Path]] | None = None) -> None:
    """Check a split before anything is learnt from it.

    Parameters
    ----------
    duplicates : of `exact_duplicates`; None finds them.

    Raises
    ------
    LeakageError : with examples, and what to type.
    """
    if duplicates is None:
        duplicates = exact_duplicates(s.path for s in dataset.samples if s.split is not None)
    leaks = list(find_leaks(dataset, duplicates))
    if not leaks:
        return
    shown = "; ".join(map(str, leaks[:MAX_EXAMPLES]))
    more = f" and {len(leaks) - MAX_EXAMPLES} more" if len(leaks) > MAX_EXAMPLES else ""
    raise LeakageError(
        f"{dataset.name}: the splits share what they must not: {shown}{more}; make a split that "
        "keeps these together with: keyact data split --method grouped, or keep the tested side "
        "with: keyact data split --method official --drop-leaks"
    )


def _across(dataset: Dataset, kind: str, of: Callable[[Sample], str | None]) -> Iterator[Leak]:
    members: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        key = of(sample)
        if key is not None and sample.split is not None:
            members[key].append(sample)
    for key, samples in members.items():
        if len({sample.split for sample in samples}) > 1:
            what = repr(key) if kind == "group" else _short(Path(key))
            yield Leak(kind, what, tuple(samples))


def _short(path: Path) -> str:
    """Folder and name, which tell a photo from others of its name."""
    return "/".join(path.parts[-2:])
