"""Small sets of predictions with known or random verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from keyact.evaluate import Predictions

LABELS = ("run", "swim", "sit", "ride")


def of(targets: list[int], predicted: list[int], sure: float = 0.7, **changes: Any) -> Predictions:
    """Predictions of one class each with the same confidence; the rest is shared evenly."""
    rows = np.full((len(targets), 4), (1 - sure) / 3, np.float32)
    rows[np.arange(len(targets)), predicted] = sure
    paths = tuple(f"{i}.jpg" for i in range(len(targets)))
    return Predictions(LABELS, paths, np.array(targets), rows, **changes)


def random_set(rows: int, seed: int, **changes: Any) -> Predictions:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 4, rows)
    rows_of = rng.dirichlet(np.ones(4), rows)
    rows_of[np.arange(rows), targets] += 0.4
    rows_of /= rows_of.sum(1, keepdims=True)
    paths = tuple(f"{i}.jpg" for i in range(rows))
    return Predictions(LABELS, paths, targets, rows_of.astype(np.float32), **changes)
