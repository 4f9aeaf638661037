"""What a text may conclude from figures, so that it still holds when the figures change."""

from __future__ import annotations

import math
from typing import Any

from keyact.report.results import MissingFigureError, Results, Sample


def verdict(one: Any, other: Any) -> str:
    """How a figure lies to another: ``"above"``, ``"below"`` or ``"level"``.

    Samples of several seeds are level unless their means are more than two standard errors of the
    difference apart; other figures when they are the same to a tenth of a percentage point.
    """
    if isinstance(one, Sample) and isinstance(other, Sample) and min(one.n, other.n) > 1:
        same = not one.clearly(other)
    else:
        same = round(float(one), 3) == round(float(other), 3)
    return "level" if same else "above" if float(one) > float(other) else "below"


def margin(share: Any, count: Any) -> float:
    """Half the width of the 95 % interval of a share of so many independent rows (normal)."""
    p = float(share)
    return 1.96 * math.sqrt(p * (1 - p) / float(count))


def ranking(
    results: Results, name: str, column: str, by: str, **where: object
) -> list[tuple[Any, Sample]]:
    """The values of a column ``by`` with their samples of another, the highest mean first.

    Raises
    ------
    MissingFigureError : no such file or column, or no figure at all.
    """
    found = [
        (one, results.sample(name, column, **{by: one}, **where))
        for one in results.values(name, by, **where)
        if results.has(name, column, **{by: one}, **where)
    ]
    if not found:
        raise MissingFigureError(f"{name}: no {column} by {by}")
    return sorted(found, key=lambda pair: -pair[1].mean)


def differences(
    results: Results,
    name: str,
    column: str,
    by: str,
    over: str,
    one: object,
    other: object,
    **where: object,
) -> list[tuple[Any, float]]:
    """For each value of ``by`` how much the mean of a column is higher where ``over`` is ``one``
    than where it is ``other``; the largest first.

    Raises
    ------
    MissingFigureError : no such file or column, or no figure for both.
    """
    found = [
        (
            each,
            results.sample(name, column, **where, **{by: each, over: one}).mean
            - results.sample(name, column, **where, **{by: each, over: other}).mean,
        )
        for each in results.values(name, by, **where)
        if all(
            results.has(name, column, **where, **{by: each, over: which}) for which in (one, other)
        )
    ]
    if not found:
        raise MissingFigureError(f"{name}: no {column} where {over} is {one} and {other}")
    return sorted(found, key=lambda pair: -pair[1])
