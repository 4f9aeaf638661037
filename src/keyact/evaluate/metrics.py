"""Figures of one set of predictions: how often right, and how well it knows that.

Averages over classes are over those that occur among the targets, so that a collection of 13 of a
model's 18 actions is judged by 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import extra
from keyact.evaluate.predictions import Predictions

BINS = 15
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)


def top_k(predictions: Predictions, k: int) -> float:
    """Share of rows whose target is among the k most probable actions."""
    best = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :k]
    return float((best == predictions.targets[:, None]).any(1).mean())


def balanced_accuracy(predictions: Predictions) -> float:
    """Mean recall of the classes."""
    return float(np.mean([row.recall for row in per_class(predictions)]))


def macro_f1(predictions: Predictions) -> float:
    """Mean F1 of the classes."""
    return float(np.mean([row.f1 for row in per_class(predictions)]))


def mean_average_precision(predictions: Predictions) -> float:
    """Mean over the classes of the area under the precision-recall steps, one against the rest."""
    metrics = extra("sklearn.metrics")
    return float(
        np.mean(
            [
                metrics.average_precision_score(
                    predictions.targets == c, predictions.probabilities[:, c]
                )
                for c in np.unique(predictions.targets)
            ]
        )
    )


class ClassRow(NamedTuple):
    """One class: its share found, its share of what was called so, their harmonic mean."""

    label: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float


def per_class(predictions: Predictions) -> list[ClassRow]:
    """A row for every class that occurs among the targets."""
    metrics = extra("sklearn.metrics")
    present = np.unique(predictions.targets)
    predicted = predictions.predicted
    precision, recall, f1, count = metrics.precision_recall_fscore_support(
        predictions.targets, predicted, labels=present, zero_division=0.0
    )
    called = np.bincount(predicted, minlength=len(predictions.labels))
    return [
        ClassRow(
            predictions.labels[c],
            int(count[i]),
            int(called[c]),
            float(precision[i]),
            float(recall[i]),
            float(f1[i]),
        )
        for i, c in enumerate(present)
    ]


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """(C, C) counts: row the true action, column the predicted one."""
    metrics = extra("sklearn.metrics")
    return np.asarray(
        metrics.confusion_matrix(
            predictions.targets, predictions.predicted, labels=range(len(predictions.labels))
        ),
        np.int64,
    )


class Bin(NamedTuple):
    """Predictions whose confidence lies in [low, high): how sure they are, how often right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[Any], right: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """The filled ones of equal-width bins (Guo et al., ICML 2017).

    Parameters
    ----------
    confidence : (N,) probability of the predicted action, in [0, 1].
    right : (N,) whether it is the true one.
    """
    sure = np.asarray(confidence, np.float64)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    total = np.bincount(place, sure, bins)
    hits = np.bincount(place, right, bins)
    return [
        Bin(b / bins, (b + 1) / bins, int(n), float(total[b] / n), float(hits[b] / n))
        for b, n in enumerate(count)
        if n
    ]


def expected_calibration_error(
    confidence: NDArray[Any], right: NDArray[np.bool_], bins: int = BINS
) -> float:
    """ECE: mean distance of confidence and accuracy over the bins of `reliability`."""
    filled = reliability(confidence, right, bins)
    gaps = [b.rows * abs(b.confidence - b.accuracy) for b in filled]
    return float(sum(gaps) / max(1, sum(b.rows for b in filled)))


def accuracy_at_coverage(
    predictions: Predictions, shares: tuple[float, ...] = COVERAGES
) -> dict[str, float]:
    """Accuracy on the most confident share of the rows, for every share."""
    order = np.argsort(-predictions.confidence)
    right = predictions.right[order]
    return {
        f"{share:.0%}": float(right[: max(1, round(share * len(right)))].mean()) for share in shares
    }


METRICS: dict[str, Callable[[Predictions], float]] = {
    "top1": lambda p: top_k(p, 1),
    "top5": lambda p: top_k(p, 5),
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "map": mean_average_precision,
    "ece": lambda p: expected_calibration_error(p.confidence, p.right),
}
"""Name -> figure of `Predictions`, in [0, 1]."""


def figures(predictions: Predictions) -> dict[str, Any]:
    """All figures in one flat dictionary, rounded, as model cards print it."""
    right = predictions.right
    named = predictions.confidence >= predictions.unknown_threshold
    found: dict[str, Any] = {"photos": len(predictions)}
    found |= {name: round(figure(predictions), 4) for name, figure in METRICS.items()}
    if "people" in predictions.attributes:
        person = predictions.attributes["people"] > 0
        found["photos_with_person"] = int(person.sum())
        found["top1_with_person"] = _mean(right[person])
        found["top1_without_person"] = _mean(right[~person])
    found["accuracy_at_coverage"] = {
        share: round(value, 4) for share, value in accuracy_at_coverage(predictions).items()
    }
    found["named_share"] = _mean(named)
    found["named_accuracy"] = _mean(right[named])
    return found


def _mean(values: NDArray[np.bool_]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
