"""What the training scripts share: two learning rates, a cosine, and averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from keyact.replacing import replacing
from keyact.train.memory import keep_memory

EMA_DECAY = 0.999
EMA_EVERY = 4
WARM_UP_STEPS = 200
CLIP_NORM = 5.0


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
    """

    def __init__(
        self,
        net: keras.Model,
        head: set[str],
        loss: Callable,
        rate: float,
        budget: str,
        backbone_rate: float = 0.3,
    ) -> None:
        keep_memory()
        self.net, self.rate, self._backbone_rate = net, rate, backbone_rate
        in_head = {
            id(v) for layer in net.layers if layer.name in head for v in layer.trainable_variables
        }
        self._head = [v for v in net.trainable_variables if id(v) in in_head]
        self._body = [v for v in net.trainable_variables if id(v) not in in_head]
        self._optimizers = [
            keras.optimizers.AdamW(rate, weight_decay=1e-4, beta_2=0.99) for _ in range(2)
        ]
        for optimizer, variables in zip(self._optimizers, (self._head, self._body), strict=True):
            optimizer.build(variables)
        self._minutes = float(budget[:-1]) if budget.endswith("m") else None
        self._steps = None if self._minutes else int(budget)
        self._started = time.time()
        self.done = 0
        self._ema = [tf.Variable(v) for v in net.weights]

        @tf.function
        def step(*batch):
            with tf.GradientTape() as tape:
                losses = loss(net, *batch)
            grads = tape.gradient(losses["loss"], self._head + self._body)
            grads, _ = tf.clip_by_global_norm(grads, CLIP_NORM)
            self._optimizers[0].apply(grads[: len(self._head)], self._head)
            if self._body:
                self._optimizers[1].apply(grads[len(self._head) :], self._body)
            return losses

        self._step = step

    @property
    def part(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        if self._minutes:
            return (time.time() - self._started) / (60 * self._minutes)
        return self.done / self._steps

    def step(self, *batch) -> dict[str, float]:
        warm = min(1.0, (self.done + 1) / WARM_UP_STEPS)
        factor = warm * (0.5 + 0.5 * math.cos(math.pi * min(self.part, 1.0))) + 1e-3
        for optimizer, share in zip(self._optimizers, (1.0, self._backbone_rate), strict=True):
            optimizer.learning_rate.assign(self.rate * share * factor)
        losses = self._step(*batch)
        self.done += 1
        if self.done % EMA_EVERY == 0:
            decay = min(EMA_DECAY, (self.done + 1) / (self.done + 10)) ** EMA_EVERY
            for average, value in zip(self._ema, self.net.weights, strict=True):
                average.assign(decay * average + (1 - decay) * value)
        return {key: float(value) for key, value in losses.items()}

    def with_average(self, use: Callable[[], object]) -> object:
        """Run ``use`` with the averaged weights in the model, then put the others back."""
        now = [v.numpy() for v in self.net.weights]
        for value, average in zip(self.net.weights, self._ema, strict=True):
            value.assign(average)
        try:
            return use()
        finally:
            for value, old in zip(self.net.weights, now, strict=True):
                value.assign(old)


def fast_precision() -> str:
    """Keras's policy for this machine: bfloat16 only where the processor computes in it.

    Elsewhere it is emulated, and a step takes several times as long as in float32.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def save_weights(net: keras.Model, path: Path) -> None:
    """Write the weights so that a killed run leaves the old file or the new one."""
    with replacing(path) as part:
        net.save_weights(part)
