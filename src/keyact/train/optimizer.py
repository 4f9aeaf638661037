"""The optimiser of the training loop: AdamW, two rates, warm-up and cosine, averaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keyact.train.config import TrainConfig
from keyact.train.layers import variables_of

if TYPE_CHECKING:
    import keras

FLOOR = 1e-3  # the least learning rate, as a share of the peak


def schedule(config: TrainConfig, steps: int, start_epoch: int) -> Any:
    """Learning rate of the head by the steps since a phase began.

    Each phase warms up, for its optimiser begins anew; the cosine goes over the whole run.
    """
    import keras
    from keras import ops

    total, offset = config.epochs * steps, start_epoch * steps
    warm_steps = min(config.warmup_steps, max(total // 10, 1))

    class Rate(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            factor = ops.minimum(1.0, (step + 1) / warm_steps) if warm_steps else 1.0
            if config.schedule == "cosine":
                done = ops.minimum((step + offset) / total, 1.0)
                factor = factor * (0.5 + 0.5 * ops.cos(np.pi * done))
            return config.rate * (factor + FLOOR)

        def get_config(self) -> dict[str, Any]:
            return {}

    return Rate()


def adamw(net: keras.Model, config: TrainConfig, rate: Any, steps: int) -> Any:
    """AdamW, slower for the layers of ``features``, with averaged weights.

    The average forgets what is older than a tenth of the run, so that a short run is not
    judged by where it began.
    """
    import keras

    slow = {id(v) for v in variables_of(net, "features")}
    shares = [config.backbone_rate if id(v) in slow else 1.0 for v in net.trainable_variables]

    class LayerwiseAdamW(keras.optimizers.AdamW):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            share = shares[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * share)

    kind = LayerwiseAdamW if any(share != 1.0 for share in shares) else keras.optimizers.AdamW
    horizon = max(config.epochs * steps / 10, 1.0)
    return kind(
        rate,
        weight_decay=config.weight_decay,
        beta_2=0.99,
        global_clipnorm=config.clip_norm,
        use_ema=config.ema > 0,
        ema_momentum=min(config.ema, 1 - 1 / horizon),
        name="adamw",
    )


def iterations(net: keras.Model) -> Any:
    """The steps that its optimiser has taken."""
    optimizer = net.optimizer
    return getattr(optimizer, "inner_optimizer", optimizer).iterations
