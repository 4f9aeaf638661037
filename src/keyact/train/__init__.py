"""Train a network on labelled photos or key point sequences (extra ``train``).

    >>> import keyact
    >>> run = keyact.train("my-photos", "keypoint-fusion", epochs=20)  # doctest: +SKIP
    >>> keyact.Recognizer(run.model)("photo.jpg")  # doctest: +SKIP

`fit` is the one training loop, of every network; `train` takes it all the way from photos.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from keyact.train.config import Augment, TrainConfig, load_config
from keyact.train.engine import History, fit, prepare
from keyact.train.feed import Batch, BatchSource
from keyact.train.run import RunFolder
from keyact.train.session import Run
from keyact.train.session import train as _train

__all__ = [
    "Augment",
    "Batch",
    "BatchSource",
    "History",
    "Run",
    "RunFolder",
    "TrainConfig",
    "fit",
    "load_config",
    "prepare",
    "train",
]


class _Callable(ModuleType):
    """`keyact.train` is this package and the function: whichever is imported first, both work."""

    def __call__(self, *args: Any, **kwargs: Any) -> Run:
        return _train(*args, **kwargs)


_Callable.__call__.__doc__ = _train.__doc__
sys.modules[__name__].__class__ = _Callable

if TYPE_CHECKING:
    from keyact.train.session import train
else:
    train = sys.modules[__name__]
