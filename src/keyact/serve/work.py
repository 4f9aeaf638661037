"""Where requests wait: a bounded queue before a few threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from time import monotonic
from typing import Any, TypeVar

from keyact.errors import KeyactError

T = TypeVar("T")


class BusyError(KeyactError):
    """The queue is full."""


class LateError(KeyactError):
    """The work was not done in time."""


class Places:
    """So many at once, one more is refused; belongs to one event loop.

    Parameters
    ----------
    most : that may be taken.
    what : what takes them, for the message.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place.

        Raises
        ------
        BusyError : all are taken.
        """
        if self.taken >= self._most:
            raise BusyError(f"{self.taken} {self._what} are in progress; try again later")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class WorkQueue:
    """Runs functions in threads; belongs to one event loop.

    Parameters
    ----------
    workers : functions that run at once.
    waiting : functions that may wait for one of the workers.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, "keyact-work")
        self._workers = workers
        self._limit = workers + waiting
        self._turn = asyncio.Semaphore(workers)
        self.held = 0

    @property
    def running(self) -> int:
        """Functions that run now."""
        return min(self.held, self._workers)

    @property
    def waiting(self) -> int:
        """Functions that wait for a worker."""
        return max(0, self.held - self._workers)

    async def run(
        self, work: Callable[..., T], *arguments: Any, timeout: float, patient: bool = False
    ) -> T:
        """Its result.

        Parameters
        ----------
        timeout : seconds, waiting included. What runs already cannot be stopped: it keeps its
            worker until it ends, and its result is dropped.
        patient : of a clip or a stream, whose next frame is not there before this one is done:
            wait in line instead of being refused, and hold no place in the queue meanwhile.

        Raises
        ------
        BusyError : as many wait as may.
        LateError : out of time.
        """
        if patient:
            end = monotonic() + timeout
            try:
                await asyncio.wait_for(self._turn.acquire(), timeout)
            except asyncio.TimeoutError:
                raise LateError("no worker was free in time; try again later") from None
            try:
                return await self._submit(work, arguments, max(0.0, end - monotonic()), timeout)
            finally:
                self._turn.release()
        if self.held >= self._limit:
            raise BusyError(f"{self.held} photos are being worked on or wait; try again later")
        return await self._submit(work, arguments, timeout, timeout)

    def close(self) -> None:
        """Start nothing more; what runs is waited for."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _submit(
        self, work: Callable[..., T], arguments: Any, left: float, timeout: float
    ) -> T:
        loop = asyncio.get_running_loop()
        future: Future[T] = self._pool.submit(copy_context().run, work, *arguments)
        self.held += 1
        future.add_done_callback(lambda _: _soon(loop, self._done))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), left)
        except asyncio.TimeoutError:
            raise LateError(f"not done within {timeout:g} seconds") from None

    def _done(self) -> None:
        self.held -= 1


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: the server is gone
        loop.call_soon_threadsafe(call)
