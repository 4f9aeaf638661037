"""Whether a figure, or a difference of two models, may be chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import extra
from keyact.errors import KeyactError
from keyact.evaluate.predictions import Predictions


class Interval(NamedTuple):
    """A figure and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    predictions: Predictions,
    figure: Callable[[Predictions], float],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a figure (Efron 1979).

    Where the predictions have groups, whole groups are drawn (cluster bootstrap), because rows of
    one video or near-duplicate set are not independent.

    Parameters
    ----------
    resamples : how many data sets are drawn; 0 gives the bare value.
    level : share of the resamples inside the interval.
    """
    value = figure(predictions)
    members = _members(predictions)
    if resamples == 0 or len(members) < 2:
        return Interval(value, value, value)

    def of(drawn: NDArray[np.intp]) -> float:
        return figure(predictions.take(np.concatenate([members[i] for i in drawn])))

    found = extra("scipy.stats").bootstrap(
        (np.arange(len(members)),),
        of,
        n_resamples=resamples,
        vectorized=False,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = found.confidence_interval
    return Interval(value, float(low), float(high))


def _members(predictions: Predictions) -> list[NDArray[np.intp]]:
    """Rows of each group; each row alone where there are none."""
    if predictions.groups is None:
        return list(np.arange(len(predictions))[:, None])
    _, place = np.unique(np.array(predictions.groups, str), return_inverse=True)
    order = np.argsort(place, kind="stable")
    return np.split(order, np.cumsum(np.bincount(place))[:-1])


def wilson(right: int, count: int, level: float = 0.95) -> Interval:
    """Wilson's interval of a share; wide where the count is small, and within [0, 1]."""
    if count == 0:
        return Interval(0.0, 0.0, 1.0)
    bounds = extra("scipy.stats").binomtest(right, count).proportion_ci(level, method="wilson")
    return Interval(right / count, float(bounds.low), float(bounds.high))


class McNemar(NamedTuple):
    """Two models on the same rows.

    Attributes
    ----------
    gained : rows that the first has right and the second wrong; ``lost`` the other way round.
    p : exact two-sided p value that both are right equally often.
    """

    gained: int
    lost: int
    p: float


def mcnemar(one: Predictions, other: Predictions) -> McNemar:
    """Exact McNemar test (McNemar 1947): is one model right more often than the other?

    Rows are matched by path; where a path occurs several times, by its turn.

    Raises
    ------
    KeyactError : the two are not about the same rows, or disagree on a target.
    """
    first, second = _verdicts(one), _verdicts(other)
    if first.keys() != second.keys():
        strange = len(first.keys() ^ second.keys())
        raise KeyactError(
            f"{one.model or 'one'} and {other.model or 'the other'} were not run on the same "
            f"photos ({strange} are in one only), so they cannot be compared"
        )
    for key, (label, _) in first.items():
        if label != second[key][0]:
            raise KeyactError(f"{key[0]}: labelled {label!r} in one, {second[key][0]!r} in another")
    verdicts = [(right, second[key][1]) for key, (_, right) in first.items()]
    return exact_mcnemar(*np.array(verdicts, bool).reshape(-1, 2).T)


def exact_mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> McNemar:
    """The test on which rows (N,) each of two models has right."""
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    disagreements = gained + lost
    stats = extra("scipy.stats")
    p = float(stats.binomtest(gained, disagreements).pvalue) if disagreements else 1.0
    return McNemar(gained, lost, p)


def _verdicts(predictions: Predictions) -> dict[tuple[str, int], tuple[str, bool]]:
    turns: dict[str, int] = {}
    found = {}
    for path, target, right in zip(
        predictions.paths, predictions.targets, predictions.right.tolist(), strict=True
    ):
        turn = turns[path] = turns.get(path, -1) + 1
        found[path, turn] = (predictions.labels[target], right)
    return found
