"""Gradient steps and averaged weights, by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from training.schedule import BETAS, CLIP_NORM, WEIGHT_DECAY, sizes


class Steps:
    """See :class:`training.schedule.Trainer`; ``groups`` are variables of different rates."""

    def __init__(
        self, net: keras.Model, loss: Callable, groups: list[list], relative: list
    ) -> None:
        self._net = net
        self._groups = groups
        self._optimizers = [
            keras.optimizers.AdamW(0.0, weight_decay=WEIGHT_DECAY, beta_1=BETAS[0], beta_2=BETAS[1])
            for _ in self._groups
        ]
        for optimizer, group in zip(self._optimizers, self._groups, strict=True):
            optimizer.build(group)
        learning = [v for group in groups for v in group]
        units = [tf.constant(sizes(v.numpy()), tf.float32) for v in relative]
        self._average = [tf.Variable(v) for v in net.weights]

        @tf.function
        def step(*batch):
            with tf.GradientTape() as tape:
                losses = loss(net, *batch)
            grads = tape.gradient(losses["loss"], learning)
            grads, _ = tf.clip_by_global_norm(grads, CLIP_NORM)
            before = [tf.identity(v) for v in relative]
            for optimizer, group in zip(self._optimizers, self._groups, strict=True):
                optimizer.apply(grads[: len(group)], group)
                grads = grads[len(group) :]
            for v, old, unit in zip(relative, before, units, strict=True):
                v.assign(old + unit * (v - old))
            return losses

        self._step = step

    def step(self, batch, rates) -> dict[str, tf.Tensor]:
        for optimizer, rate in zip(self._optimizers, rates, strict=True):
            optimizer.learning_rate.assign(rate)
        return self._step(*batch)

    def average(self, decay: float) -> None:
        for average, value in zip(self._average, self._net.weights, strict=True):
            average.assign(decay * average + (1 - decay) * value)

    def swap(self) -> None:
        for average, value in zip(self._average, self._net.weights, strict=True):
            now = value.numpy()
            value.assign(average)
            average.assign(now)
