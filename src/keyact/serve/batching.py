"""One run of a network for rows that different requests bring at the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.runtime import OnnxModel

Feeds = Mapping[str, NDArray[Any]]


class SharedRuns(OnnxModel):
    """A network whose simultaneous `run` calls share runs; answers are those of single runs.

    There is no timer: a call that finds a free slot runs at once, so a lone client waits for
    nobody. Calls that find all slots taken gather, and whoever frees a slot takes them along.

    Parameters
    ----------
    runs : runs at once; more would only make threads wait for a CPU.
    rows : rows of one shared run at most; 1 shares none.
    observe : told the rows of each run.

    Other parameters and errors are those of `OnnxModel`.
    """

    def __init__(
        self,
        path: str | Path | bytes,
        threads: int | None = None,
        sha256: str | None = None,
        *,
        runs: int = 1,
        rows: int = 8,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(path, threads, sha256)
        # Only networks whose inputs all begin with the same free axis have rows to share.
        first = [shape[0] if shape else 0 for shape in self.inputs.values()]
        self.shares = rows > 1 and all(size is None for size in first)
        self._rows = rows
        self._free = runs
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._observe = observe

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        if not self.shares:
            return super().run(feeds)
        call = _Call(feeds)
        with self._lock:
            leads = self._free > 0
            if leads:
                self._free -= 1
            else:
                self._waiting.append(call)
        if leads or call.leads.result():
            self._answer(self._together(call))
            with self._lock:
                if self._waiting:  # the next one has the slot; its own thread goes on
                    self._waiting.popleft().leads.set_result(True)
                else:
                    self._free += 1
        return call.answer.result()

    def _together(self, call: _Call) -> list[_Call]:
        """The call and those that wait and fit beside it."""
        group, total = [call], _rows(call.feeds)
        with self._lock:
            while self._waiting:
                rows = _rows(self._waiting[0].feeds)
                if total + rows > self._rows or _form(self._waiting[0].feeds) != _form(call.feeds):
                    break
                group.append(self._waiting.popleft())
                total += rows
        if self._observe is not None:
            self._observe(total)
        return group

    def _answer(self, group: list[_Call]) -> None:
        """Run the calls as one; the first one's thread is this one, the others are woken."""
        try:
            feeds = group[0].feeds
            if len(group) > 1:
                feeds = {name: np.concatenate([c.feeds[name] for c in group]) for name in feeds}
            out = super().run(feeds)
            start = 0
            for call in group:
                stop = start + _rows(call.feeds)
                call.answer.set_result({name: value[start:stop] for name, value in out.items()})
                start = stop
        except BaseException as error:
            for call in group:
                if len(group) == 1:
                    call.answer.set_exception(error)
                else:  # whose fault it is shows when each runs alone
                    self._answer([call])
        finally:
            for call in group[1:]:
                call.leads.set_result(False)


class _Call:
    """One call of `SharedRuns.run`; ``leads`` tells its thread to run a group, or not to."""

    def __init__(self, feeds: Feeds) -> None:
        self.feeds = feeds
        self.leads: Future[bool] = Future()
        self.answer: Future[dict[str, NDArray[Any]]] = Future()


def _rows(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def _form(feeds: Feeds) -> tuple[Any, ...]:
    """What the feeds of one run have in common."""
    return tuple((name, value.shape[1:], value.dtype) for name, value in sorted(feeds.items()))
