"""Temperatures and the "unknown" threshold of a trained model, from held-out photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.action.keypoint_fusion import softmax

ACCEPTED_ACCURACY = 0.95  # of the held-out photos that are given a name, this share must be right
Logits = NDArray[np.float32]


def calibrate(
    logits: Sequence[Logits],
    labels: NDArray[np.intp],
    strangers: Sequence[Logits] = (),
    share: float = 0.0,
) -> dict[str, float]:
    """Temperatures (for people, for photos) by likelihood, and the "unknown" threshold.

    Parameters
    ----------
    logits : per photo (n, C) of its people; the photo's verdict is their mean.
    labels : (N,) label index of each photo.
    strangers : of photos of something else, which no name is right for.
    share : how much of all photos they are expected to be, below 1.

    Returns
    -------
    ``temperature``, ``photo_temperature`` and ``unknown_threshold``: the least confidence from
    which `ACCEPTED_ACCURACY` of the photos are right; 1 when there is none.
    """
    everyone = np.concatenate(list(logits))
    owner = np.repeat(labels, [len(one) for one in logits])
    photos = photo_logits(logits)
    temperature = best_temperature(photos, labels)
    asked = photo_logits([*logits, *strangers])
    top = softmax(np.asarray(asked / temperature, np.float32))
    told = np.concatenate([labels, np.full(len(strangers), -1)])
    each = share / (1 - share) * len(labels) / max(len(strangers), 1)
    counts = np.where(told < 0, each, 1.0)
    return {
        "temperature": best_temperature(everyone, owner),
        "photo_temperature": temperature,
        "unknown_threshold": threshold_of(top, told, counts),
    }


def threshold_of(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.intp],
    counts: NDArray[np.float64] | None = None,
) -> float:
    """The least confidence from which `ACCEPTED_ACCURACY` of (N, C) answers are right.

    Label -1 is of something else: no answer is right. ``counts`` (N,) is how many photos each one
    stands for, 1 by default. When all are right, nothing says that less
    sure ones would not be: even odds are then enough.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    order = np.argsort(-confidence)
    weights = np.ones(len(order)) if counts is None else counts[order]
    running = np.cumsum(right[order] * weights) / np.cumsum(weights)
    if right.all() and len(right):
        return round(min(float(confidence.min()), 0.5), 3)
    enough = np.flatnonzero(running >= ACCEPTED_ACCURACY)
    return round(float(confidence[order][enough[-1]]), 3) if len(enough) else 1.0


def best_temperature(logits: Logits, labels: NDArray[np.intp]) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017), on a grid."""
    grid = np.round(np.exp(np.linspace(np.log(0.3), np.log(4), 120)), 3)
    return float(grid[int(np.argmin([log_loss(logits, labels, t) for t in grid]))])


def log_loss(logits: Logits, labels: NDArray[np.intp], temperature: float) -> float:
    """Mean negative log-likelihood of the labels (N,), given logits (N, C)."""
    told = softmax(np.asarray(logits / temperature, np.float32))[np.arange(len(labels)), labels]
    return float(-np.log(told + 1e-12).mean())


def photo_logits(logits: Sequence[Logits]) -> Logits:
    """The photos' verdicts (N, C): the mean of the logits of each one's people."""
    return np.asarray(np.stack([one.mean(0) for one in logits]), np.float32)


def calibrated_figures(
    probabilities: NDArray[np.float32], labels: NDArray[np.intp], threshold: float
) -> dict[str, float]:
    """`figures` of calibrated answers (N, C), with a threshold for names."""
    # Their logarithms are the logits of temperature 1.
    told = {"photo_temperature": 1.0, "unknown_threshold": threshold}
    return figures([np.log(row[None] + 1e-12) for row in probabilities], labels, told)


def figures(
    logits: Sequence[Logits], labels: NDArray[np.intp], meta: dict[str, Any] | None = None
) -> dict[str, float]:
    """How good the photos' verdicts are; with ``meta`` at its temperature and threshold.

    ``top1``, ``top5`` (or ``top2`` and so on with fewer classes), ``balanced_accuracy``,
    ``macro_f1``, ``loss`` (mean negative log-likelihood), and with ``meta`` the share of photos
    that are given a name (``named_share``) and of those that are right (``named_accuracy``).
    """
    from sklearn.metrics import f1_score, recall_score

    verdicts = photo_logits(logits)
    temperature = float(meta["photo_temperature"]) if meta else 1.0
    probability = softmax(np.asarray(verdicts / temperature, np.float32))
    confidence, best = probability.max(1), probability.argmax(1)
    right = best == labels
    rank = (probability > probability[np.arange(len(labels)), labels][:, None]).sum(1)
    several = min(5, probability.shape[1])
    there = np.unique(labels)
    score = {"labels": there, "average": "macro", "zero_division": 0}
    found = {
        "top1": float(right.mean()),
        f"top{several}": float((rank < several).mean()),
        "balanced_accuracy": float(recall_score(labels, best, **score)),
        "macro_f1": float(f1_score(labels, best, **score)),
        "loss": float(-np.log(probability[np.arange(len(labels)), labels] + 1e-12).mean()),
    }
    if meta:
        named = confidence >= float(meta["unknown_threshold"])
        found["named_share"] = float(named.mean())
        if named.any():
            found["named_accuracy"] = float(right[named].mean())
    return {name: round(value, 4) for name, value in found.items()}
