"""What a table is, and the cells that many of them share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keyact.errors import InputError
from keyact.report.numbers import Markdown, escape, fixed, percent, shown, whole
from keyact.report.results import Sample
from keyact.report.sources import Result

MAX_SHOWN = 120
"""Rows of a table; what is left out is said."""


@dataclass(frozen=True)
class Table:
    """Attributes: ``caption``, ``head`` and ``rows``; the first column is of names, the others are
    of figures unless they stand in ``texts``."""

    caption: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    texts: tuple[str, ...] = ()

    def markdown(self) -> Markdown:
        """The table without its caption; columns that are empty throughout are left out."""
        cells = [[shown(cell) for cell in row] for row in self.rows[:MAX_SHOWN]]
        kept = [i for i in range(len(self.head)) if i == 0 or any(row[i] for row in cells)]
        left = {self.head[0], *self.texts}
        rules = [":---" if name in left else "---:" for name in self.head]
        lines: list[list[str]] = [[*map(escape, self.head)], rules, *cells]  # type: ignore[list-item]
        text = "\n".join("| " + " | ".join(line[i] for i in kept) + " |" for line in lines)
        more = len(self.rows) - MAX_SHOWN
        return Markdown(f"{text}\n\n({whole(more)} more rows)" if more > 0 else text)


METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "map": "mAP",
    "ece": "calibration error (ECE)",
}


def grouped(rows: Result | Sequence[dict[str, str]], *columns: str) -> list[tuple[Any, list[Any]]]:
    """Rows by the values of one column, or of several, in the order of the file."""
    found: dict[Any, list[dict[str, str]]] = {}
    for row in rows.data if isinstance(rows, Result) else rows:
        key = row[columns[0]] if len(columns) == 1 else tuple(row[name] for name in columns)
        found.setdefault(key, []).append(row)
    return list(found.items())


def sample(rows: Sequence[dict[str, str]], column: str) -> Sample | None:
    """Mean and deviation of a column; None where it is empty."""
    try:
        values = [float(row[column]) for row in rows if row.get(column)]
    except ValueError:
        raise InputError(f"{column}: holds what is no number") from None
    return Sample.of(values) if values else None


def share_of(rows: Sequence[dict[str, str]], column: str) -> Markdown | None:
    """`sample` of a share, as it is shown."""
    found = sample(rows, column)
    return None if found is None else percent(found)


def spread(row: dict[str, str], mean: str, deviation: str) -> Markdown:
    """A mean and a deviation that the file holds as such."""
    return Markdown(f"{percent(row[mean])[:-2]} ± {percent(row[deviation])}")


def median_of(rows: Sequence[dict[str, str]], column: str, digits: int = 2) -> Markdown | None:
    """The median of a column, which one slow run does not move."""
    from statistics import median

    values = [float(row[column]) for row in rows if row.get(column)]
    return fixed(median(values), digits) if values else None


def if_there(write: Callable[..., Markdown], row: dict[str, str], name: str) -> Markdown | None:
    """A cell that may be empty."""
    digits = {"ms_per_person": 1, "ms_per_photo_detector": 1, "photo_ms_1_p50": 0,
              "mce_vs_first": 2, "mb": 1}  # fmt: skip
    more = (digits[name],) if name in digits else ()
    return write(row[name], *more) if row.get(name) else None


def span(low: Any, high: Any) -> Markdown:
    """The bounds of an interval, in per cent."""
    return Markdown(f"{100 * float(low):.1f} – {100 * float(high):.1f}")


def usual(rows: Sequence[dict[str, str]], column: str) -> str:
    """The usual value of a column, for a caption."""
    values = Counter(row[column] for row in rows if row.get(column))
    return values.most_common(1)[0][0] if values else "?"


def cell(value: Any, name: str = "") -> object:
    """A figure of a JSON file: a share, a count, or what it is."""
    if isinstance(value, float) and "loss" in name:
        return fixed(value)
    if isinstance(value, float) and 0 <= value <= 1:
        return percent(value)
    return whole(value) if isinstance(value, int) else value


def flattened(data: dict[str, Any], before: str) -> list[tuple[str, Any]]:
    """Nested names in one."""
    found: list[tuple[str, Any]] = []
    for key, value in data.items():
        name = f"{before}{key}"
        found += flattened(value, f"{name}, ") if isinstance(value, dict) else [(name, value)]
    return found


def spoken(label: str) -> str:
    """A label as it is printed."""
    return label.replace("_", " ")
