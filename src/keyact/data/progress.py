"""Show how far a long run is, and how long it still takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Is told how many are done, of how many."""


def track(
    items: Iterable[T], total: int, what: str, progress: bool | Progress = True
) -> Iterator[T]:
    """The items, while a bar with the time left is shown, or a function told, how far it is.

    Parameters
    ----------
    total : how many items there are.
    what : a word or two before the bar.
    progress : True shows a bar on stderr if that is a terminal, False nothing.
    """
    if progress is True:
        from rich import progress as bars
        from rich.console import Console

        console = Console(stderr=True)
        yield from bars.track(
            items,
            what,
            total,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        return
    for done, item in enumerate(items, 1):
        yield item
        if progress:
            progress(done, total)
