"""Accuracy in parts of a data set: where a model is good, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact.evaluate.predictions import Predictions
from keyact.evaluate.significance import wilson

MAX_GROUPS = 24  # of an attribute with names: more would be a list, not a table

# Bounds of the parts, from and below; what they mean is said in the report.
_PARTS: dict[str, tuple[tuple[str, float, float], ...]] = {
    "people": (("nobody", 0, 1), ("one", 1, 2), ("2 to 4", 2, 5), ("5 or more", 5, np.inf)),
    "box_size": (
        ("no box", -np.inf, 1e-9),
        ("small (< 30 %)", 1e-9, 0.3),
        ("middle (30-50 %)", 0.3, 0.5),
        ("large (50-70 %)", 0.5, 0.7),
        ("fills the photo", 0.7, np.inf),
    ),
    "visible_joints": (("none", 0, 1), ("1 to 8", 1, 9), ("9 to 14", 9, 15), ("15 to 17", 15, 18)),
}
EXPLAINED = {
    "people": "people found in the photo",
    "box_size": "root of the share of the photo that the largest person's box covers",
    "visible_joints": "joints of the largest person with a score of 0.3 or more",
    "group": "the data set's groups",
}


class Part(NamedTuple):
    """Rows of one part: how many, how many right, and Wilson's 95 % interval of the accuracy."""

    name: str
    rows: int
    accuracy: float
    low: float
    high: float


def subgroups(predictions: Predictions) -> dict[str, list[Part]]:
    """For each attribute (and the groups, where they are few) its parts that have rows.

    Attributes that are not cut at fixed bounds are taken by value where they are texts or few,
    else in quarters of equal count.
    """
    columns: dict[str, NDArray[Any]] = dict(predictions.attributes)
    if predictions.groups is not None:
        names, counts = np.unique(np.array(predictions.groups, str), return_counts=True)
        # Groups that hold a photo each are near-duplicate sets, which say nothing as a table.
        if 2 <= len(names) <= MAX_GROUPS and counts.min() > 1:
            columns["group"] = np.array(predictions.groups, str)
    tables = {name: _table(predictions.right, _cut(name, value)) for name, value in columns.items()}
    return {name: table for name, table in tables.items() if len(table) > 1}


def _table(right: NDArray[np.bool_], parts: Iterator[tuple[str, NDArray[np.bool_]]]) -> list[Part]:
    return [
        Part(name, int(inside.sum()), *wilson(int(right[inside].sum()), int(inside.sum())))
        for name, inside in parts
        if inside.any()
    ]


def _cut(name: str, value: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if name in _PARTS and value.dtype.kind in "iuf":
        for part, low, high in _PARTS[name]:
            yield part, (value >= low) & (value < high)
        return
    distinct = np.unique(value)
    if len(distinct) <= MAX_GROUPS:
        for one in distinct:
            yield str(one), value == one
    elif value.dtype.kind in "iuf":
        bounds = np.unique(np.quantile(value, (0, 0.25, 0.5, 0.75, 1)))
        for i, (low, high) in enumerate(pairwise(bounds)):
            last = i == len(bounds) - 2
            part = f"{low:.3g} to {high:.3g}"
            yield part, (value >= low) & ((value <= high) if last else (value < high))
