"""What a training step minimises: soft cross-entropy, smoothed, weighted, with a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import UnknownNameError
from keyact.train.config import TrainConfig

Loss = Callable[[Any, Any], Any]


def objective(config: TrainConfig, classes: int) -> Loss:
    """The loss of each sample from targets and logits, for ``keras.Model.compile``.

    Targets are (N, C) probabilities of the labels, or (N, 2 C) with a teacher's probabilities
    behind them. With a teacher the loss is the mean, weighted by ``config.distill``, of the
    cross-entropy with the labels and of the one with the teacher, softened by
    ``distill_temperature`` and scaled by its square (Hinton et al. 2015). Logits are (N, C).
    """
    from keras import ops

    smoothing, share = config.label_smoothing, config.distill
    temperature = config.distill_temperature

    def loss(targets: Any, logits: Any) -> Any:
        logits = ops.cast(logits, "float32")
        goal = targets[:, :classes] * (1 - smoothing) + smoothing / classes
        each = _cross_entropy(goal, logits)
        if targets.shape[-1] == 2 * classes:
            soft = ops.power(targets[:, classes:] + 1e-8, 1 / temperature)
            soft = soft / ops.sum(soft, -1, keepdims=True)
            taught = _cross_entropy(soft, logits / temperature) * temperature**2
            each = (1 - share) * each + share * taught
        return each

    return loss


def top1(classes: int) -> Loss:
    """Whether the largest logit is at the likeliest label, for ``keras.Model.compile``."""
    from keras import ops

    def top1(targets: Any, logits: Any) -> Any:
        right = ops.argmax(targets[:, :classes], -1) == ops.argmax(logits, -1)
        return ops.cast(right, "float32")

    return top1


def _cross_entropy(goal: Any, logits: Any) -> Any:
    from keras import ops

    return -ops.sum(goal * ops.log_softmax(logits, -1), -1)


def one_hot(labels: NDArray[np.intp], classes: int) -> NDArray[np.float32]:
    """Label indices (N,) to targets (N, C)."""
    targets: NDArray[np.float32] = np.eye(classes, dtype=np.float32)[labels]
    return targets


def class_weights(
    config: TrainConfig, labels: NDArray[np.intp], names: Sequence[str]
) -> NDArray[np.float32]:
    """A weight per class (C,), of mean 1 over the samples with these label indices (N,).

    ``balanced`` weighs each class by one over its count.

    Raises
    ------
    UnknownNameError : ``config.class_weights`` names a class that is not there.
    """
    count = np.bincount(labels, minlength=len(names)).astype(np.float64)
    weights = np.ones(len(names))
    if config.class_weights == "balanced":
        weights = 1 / np.maximum(count, 1)
    elif isinstance(config.class_weights, dict):
        for name, weight in config.class_weights.items():
            if name not in names:
                raise UnknownNameError("class", name, names)
            weights[list(names).index(name)] = weight
    mean = (weights * count).sum() / max(count.sum(), 1)
    return np.asarray(weights / max(mean, 1e-12), np.float32)
