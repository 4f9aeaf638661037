"""Run an iterator ahead of its consumer in a background thread."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

_END = object()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield ``items`` in order while a thread prepares up to ``depth`` of them ahead.

    Parameters
    ----------
    items : iterable
        Consumed in the background thread and closed there, if it can be closed.
    depth : int
        How many items may wait, at least 1; bounds the memory that they hold.

    Yields
    ------
    object
        The items, in order. An exception of ``items`` is raised where its item would have come.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    ready: SimpleQueue[object] = SimpleQueue()
    slots = threading.Semaphore(depth)
    stop = threading.Event()

    def fill() -> None:
        try:
            iterator = iter(items)
            while True:
                slots.acquire()
                if stop.is_set():
                    break
                try:
                    ready.put(next(iterator))
                except StopIteration:
                    ready.put(_END)
                    break
        except BaseException as error:  # handed to the consumer, whatever it is
            ready.put(_Failure(error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=fill, name="keyact-prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            slots.release()
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        slots.release()
        thread.join()
