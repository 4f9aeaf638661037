"""Batches made ahead of the step that needs them: in a thread, or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np

from keyact.prefetch import prefetch

WAITING = 6

Batch = tuple[np.ndarray, ...]


def ahead(make: Callable[[int], Batch], start: int = 0, workers: int = 0) -> Iterator[Batch]:
    """``make(start)``, ``make(start + 1)``, ... without end and in this order.

    Parameters
    ----------
    make : the batch of a step, the same each time it is asked.
    workers : processes that make them, for an accelerator that is faster than one thread of
        augmentation; needs the extra ``torch``, whose loader hands them over in shared memory.
    """
    if workers:
        return _in_processes(make, start, workers)
    return prefetch(map(make, count(start)), WAITING)


def _in_processes(make: Callable[[int], Batch], start: int, workers: int) -> Iterator[Batch]:
    import cv2
    import torch

    class Steps(torch.utils.data.Dataset):
        def __getitem__(self, step: int) -> list[torch.Tensor]:
            return [torch.from_numpy(np.ascontiguousarray(part)) for part in make(step)]

    loader = torch.utils.data.DataLoader(
        Steps(),
        batch_size=None,
        sampler=count(start),  # type: ignore[arg-type]
        num_workers=workers,
        multiprocessing_context="fork",  # the photos are shared, not copied
        worker_init_fn=lambda _: cv2.setNumThreads(1),
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=3,
    )
    yield from loader
