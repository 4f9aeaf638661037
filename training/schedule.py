"""What the training scripts share: two learning rates, a cosine, and averaged weights.

The steps themselves are TensorFlow's or PyTorch's, as ``KERAS_BACKEND`` says: TensorFlow is the
faster one on a CPU, PyTorch is for a GPU.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from keyact.replacing import replacing
from keyact.train.memory import keep_memory
from keyact.train.precision import fast_precision

EMA_DECAY = 0.999
EMA_EVERY = 4
WARM_UP_STEPS = 200
CLIP_NORM = 5.0
WEIGHT_DECAY = 1e-4
BETAS = 0.9, 0.99


class Trainer:
    """Gradient steps on a Keras model whose first layers came from ImageNet.

    Parameters
    ----------
    net : the model.
    head : names of the layers that start from random weights; the others learn slower.
    loss : (net, batch) to a dict of scalars; the key "loss" is minimised.
    rate : peak learning rate of the head (AdamW).
    budget : "30m" for minutes or "5000" for steps.
    backbone_rate : learning rate of the other layers, as a share of the head's.
    relative : the other layers' steps are in units of :func:`sizes`, so that a rate says by how
        much of itself a channel's kernel changes.
    """

    def __init__(
        self,
        net: keras.Model,
        head: set[str],
        loss: Callable,
        rate: float,
        budget: str,
        backbone_rate: float = 0.3,
        relative: bool = False,
    ) -> None:
        keep_memory()
        self.net, self.rate = net, rate
        in_head = {
            id(v) for layer in net.layers if layer.name in head for v in layer.trainable_variables
        }
        groups = [
            (1.0, [v for v in net.trainable_variables if id(v) in in_head]),
            (backbone_rate, [v for v in net.trainable_variables if id(v) not in in_head]),
        ]
        self._shares = [share for share, group in groups if group]
        if keras.backend.backend() == "torch":
            from training.steps_torch import Steps
        else:
            from training.steps_tensorflow import Steps  # type: ignore[assignment]
        kept = [v for v in groups[1][1] if relative]
        self._backend = Steps(net, loss, [group for _, group in groups if group], kept)
        self._minutes = float(budget[:-1]) if budget.endswith("m") else None
        self._steps = None if self._minutes else int(budget)
        self._started = time.time()
        self.done = 0
        self._recent: deque[dict] = deque(maxlen=100)

    @property
    def part(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        if self._minutes:
            return (time.time() - self._started) / (60 * self._minutes)
        return self.done / self._steps

    def run(
        self,
        batches: Iterable[Sequence],
        keep: Callable[[], object],
        minutes: float,
        what: str,
        title: str = "",
        every: int = 100,
    ) -> None:
        """Steps until the budget is spent; says how it goes after ``every`` so many.

        Parameters
        ----------
        keep : called with the averaged weights in the model, every ``minutes`` and at the end.
        what : the samples in a batch are, for the speed that is printed.
        title : printed before each line.
        """
        began = evaluated = time.time()
        for batch in batches:
            self.step(*batch)
            if self.done % every == 0:
                speed = self.done * len(batch[0]) / (time.time() - began)
                print(*filter(None, (title, self.progress(), f"{speed:.0f} {what}/s")), flush=True)
            if time.time() - evaluated > 60 * minutes:
                evaluated = time.time()
                self.with_average(keep)
            if self.part >= 1:
                break
        self.with_average(keep)

    def step(self, *batch) -> None:
        """One gradient step."""
        factor = pace(self.done, self.part) + 1e-3
        rates = [self.rate * factor * share for share in self._shares]
        self._recent.append(self._backend.step(batch, rates))
        self.done += 1
        if self.done % EMA_EVERY == 0:
            self._backend.average(decay_after(self.done) ** EMA_EVERY)

    def progress(self) -> str:
        """Steps, share of the budget, and means of the last losses.

        The losses of the steps are read here and not before: a GPU need not be waited for.
        """
        mean = {
            key: round(float(np.mean([float(one[key]) for one in self._recent])), 3)
            for key in self._recent[-1]
        }
        return f"{self.done} {self.part:.3f} {mean}"

    def with_average(self, use: Callable[[], object]) -> object:
        """Run ``use`` with the averaged weights in the model, then put the others back."""
        self._backend.swap()
        try:
            return use()
        finally:
            self._backend.swap()


def sizes(value: np.ndarray) -> np.ndarray:
    """How large a variable's entries are, per output channel of a kernel, in a shape like it.

    Where batch norm was folded into the convolutions, a channel's kernel may be a hundred
    thousand times smaller than the next one's, and the layer after it undoes that: steps of one
    size, as Adam makes them, turn the small ones into noise.
    """
    if value.ndim < 2:
        typical = float(np.sqrt(np.square(value).mean()))
        return np.asarray(np.maximum(np.abs(value), 0.1 * (typical or 1.0)))
    channel = value.ndim - (2 if value.shape[-1] == 1 and value.ndim == 4 else 1)
    others = tuple(axis for axis in range(value.ndim) if axis != channel)
    return np.sqrt(np.square(value).mean(others, keepdims=True)) + 1e-8


def pace(step: int, part: float, warm_up: int = WARM_UP_STEPS) -> float:
    """Share of the peak rate: rises over the first steps, then a cosine of what is spent."""
    return min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * min(part, 1.0)))


def decay_after(steps: int, most: float = EMA_DECAY) -> float:
    """Of averaged weights, for one step: the first weights are soon forgotten."""
    return min(most, (steps + 1) / (steps + 10))


def forward(net: keras.Model, inputs: object, training: bool = True):
    """``net(inputs, training)``, as the back end computes it fast."""
    if keras.backend.backend() == "torch":
        from training import steps_torch

        return steps_torch.forward(net, inputs, training)
    return net(inputs, training=training)


def fast_policy() -> str:
    """Keras's policy for this machine: bfloat16 only where the hardware computes in it.

    Elsewhere it is emulated, and a step takes several times as long as in float32. float16 would
    need the loss to be scaled.
    """
    return "mixed_bfloat16" if fast_precision() == "bfloat16" else "float32"


def save_weights(net: keras.Model, path: Path) -> None:
    """Write the weights so that a killed run leaves the old file or the new one."""
    with replacing(path) as part:
        net.save_weights(part)


def average(net: keras.Model, runs: Sequence[Path], share: float = 1.0) -> int:
    """Move ``net`` by ``share`` from its weights to the mean of the runs'; returns their steps."""
    kept = [(1 - share) * np.asarray(w) for w in net.get_weights()]
    steps = 0
    for run in runs:
        net.load_weights(run / "last.weights.h5")
        each = share / len(runs)
        kept = [a + each * np.asarray(b) for a, b in zip(kept, net.get_weights(), strict=True)]
        steps += json.loads((run / "state.json").read_text())["step"]
    net.set_weights(kept)
    return steps
