"""What an import leaves out, which may be very much: some is printed, all is listed in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from keyact.cli.terminal import MAX_SHOWN, complain
from keyact.replacing import replacing


class Problems:
    """What is left out: told, `MAX_SHOWN` of a kind, and listed.

    Two kinds, so that a thousand missing photos do not hide the one entry that is wrong.
    """

    def __init__(self, messages: Console, listing: IO[str] | None) -> None:
        self._messages = messages
        self._listing = listing
        self._counts: Counter[str] = Counter()

    @property
    def found(self) -> int:
        """All of them."""
        return self._counts.total()

    def of_entry(self, message: str) -> None:
        """Of what stands in the files."""
        self._tell("problems with entries", message)

    def of_photo(self, message: str) -> None:
        """Of the photos that they are about."""
        self._tell("problems with photos", message)

    def count_rest(self, where: str) -> None:
        """Say how many were not printed, and where all stand."""
        for kind, count in self._counts.items():
            if count > MAX_SHOWN:
                complain(f"... and {count - MAX_SHOWN} more {kind}; {where}", self._messages)

    def _tell(self, kind: str, message: str) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_SHOWN:
            complain(message, self._messages)
        if self._listing is not None:
            self._listing.write(f"{message}\n")


@contextmanager
def problems_of(path: Path | None, messages: Console) -> Iterator[Problems]:
    """Problems of a run, listed in a file if one is named; how many were not printed is said."""
    if path is None:
        problems = Problems(messages, None)
        yield problems
        problems.count_rest("--problems FILE writes all")
        return
    with replacing(path) as part, part.open("w", encoding="utf-8", errors="replace") as file:
        problems = Problems(messages, file)
        yield problems
    problems.count_rest(f"{path} has all")
