"""Training batches: what gives them, and threads that make them ahead of the step."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Batch(NamedTuple):
    """Inputs by name, targets (N, C) or with a teacher's (N, 2 C), and a weight (N,) each."""

    inputs: Mapping[str, NDArray[Any]]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


class BatchSource(Protocol):
    """Training batches; all of one size.

    Attributes
    ----------
    steps : batches in an epoch.
    classes : C, the number of labels.
    """

    steps: int
    classes: int

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch at a place: the same arguments give the same batch. Called from threads."""
        ...


@contextmanager
def feed(
    batches: BatchSource, epoch: int, workers: int
) -> Iterator[Generator[tuple[Any, ...], None, None]]:
    """Batches in order from an epoch on, without end, made ahead by threads.

    What a batch raises is raised here, however the backend wraps it.
    """
    failed: list[Exception] = []

    def make(place: int) -> tuple[dict[str, NDArray[Any]], Any, Any]:
        try:
            inputs, targets, weights = batches.batch(*divmod(place, batches.steps))
        except Exception as error:
            failed.append(error)
            raise
        return dict(inputs), targets, weights

    def run() -> Generator[tuple[Any, ...], None, None]:
        waiting: deque[Future[tuple[Any, ...]]] = deque()
        place = epoch * batches.steps
        while True:
            try:
                while len(waiting) < workers + 1:
                    waiting.append(pool.submit(make, place))
                    place += 1
                yield waiting.popleft().result()
            except (CancelledError, RuntimeError):
                if closed.is_set():
                    return  # the backend still read ahead
                raise

    closed = threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="keyact-batch")
    try:
        yield run()
    except Exception:
        if failed:
            raise failed[0] from None
        raise
    finally:
        closed.set()
        pool.shutdown(wait=True, cancel_futures=True)
