"""The one way to a figure: by file, column and row. What no file holds raises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from keyact.errors import InputError, UnknownNameError
from keyact.report.kinds import KINDS
from keyact.report.sources import Result, read_sources


class MissingFigureError(InputError):
    """No result file holds the figure that was asked for."""


@dataclass(frozen=True)
class Sample:
    """A figure of several seeds: their mean, standard deviation (n - 1) and number."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        return cls(fmean(values), stdev(values) if len(values) > 1 else 0.0, len(values))

    def __float__(self) -> float:
        return self.mean

    def clearly(self, other: Sample) -> bool:
        """Whether the means differ by more than two standard errors of their difference."""
        error = math.sqrt(self.sd**2 / self.n + other.sd**2 / other.n)
        return min(self.n, other.n) > 1 and abs(self.mean - other.mean) > 2 * error


STATS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "sd": lambda values: Sample.of(values).sd,
    "median": median,
    "min": min,
    "max": max,
    "sum": math.fsum,
    "count": len,
}


class Results:
    """Result files by name.

        results = Results.read(["results"])
        results.figure("sports18", "test", "top1")
        results.figure("temporal/models", "test_top1", model="tcn", stat="mean")

    A file is named by its path inside the folder that was given; the suffix may be left out where
    only one file has the rest.
    """

    def __init__(self, found: Sequence[Result]) -> None:
        self._found = {result.name: result for result in found}

    @classmethod
    def read(cls, sources: Sequence[str | Path]) -> Results:
        """As `keyact.report.sources.read_sources`."""
        return cls(read_sources(sources))

    def __iter__(self) -> Iterator[Result]:
        return iter(self._found.values())

    def of(self, kind: str) -> list[Result]:
        """All results of a kind of `keyact.report.kinds.KINDS`."""
        if kind not in KINDS:
            raise UnknownNameError("kind of result", kind, KINDS)
        return [result for result in self if result.kind == kind]

    def get(self, name: str) -> Result:
        """The result of a name.

        Raises
        ------
        MissingFigureError : there is none, or the name fits several.
        """
        if name in self._found:
            return self._found[name]
        fits = [full for full in (f"{name}.csv", f"{name}.json") if full in self._found]
        if len(fits) > 1:
            raise MissingFigureError(f"{name!r} is {' or '.join(fits)}: say which")
        if not fits:
            known = UnknownNameError("result file", name, self._found)
            raise MissingFigureError(str(known))
        return self._found[fits[0]]

    def figure(self, name: str, *path: str | int, stat: str | None = None, **where: object) -> Any:
        """A figure, or a text such as a label.

        Parameters
        ----------
        name : of the file.
        path : keys and places inside a JSON file; the column of a CSV.
        stat : of `STATS`, over the cells of all fitting rows; without it one row has to fit.
        where : values that other columns have in the row.

        Raises
        ------
        MissingFigureError : no file, column, row or value; the message names what is missing.
        """
        result = self.get(name)
        if not isinstance(result.data, list) or not path or path[0] not in _columns(result):
            if where or stat:
                raise MissingFigureError(f"{result.name}: has no column {_spoken(path)}")
            return _inside(result, path)
        column, told = str(path[0]), _told(where)
        cells = [row[column] for row in _fitting(result, where) if row[column] != ""]
        if not cells:
            raise MissingFigureError(f"{result.name}: no {column}{told}")
        if stat is None:
            if len(cells) > 1:
                raise MissingFigureError(
                    f"{result.name}: {len(cells)} rows have a {column}{told}; say which, or a stat "
                    f"({', '.join(STATS)})"
                )
            return _plain(cells[0])
        if stat not in STATS:
            raise UnknownNameError("stat", stat, STATS)
        if stat == "count":  # of texts, too
            return len(cells)
        return STATS[stat](_numbers(result, column, cells))

    def sample(self, name: str, column: str, **where: object) -> Sample:
        """Mean and deviation of a column over the fitting rows, such as one per seed.

        Raises
        ------
        MissingFigureError : as `figure`.
        """
        self.figure(name, column, stat="count", **where)
        result = self.get(name)
        cells = [row[column] for row in _fitting(result, where) if row[column] != ""]
        return Sample.of(_numbers(result, column, cells))

    def values(self, name: str, column: str, **where: object) -> list[Any]:
        """The different values of a column in the fitting rows, in the order of the file.

        Raises
        ------
        MissingFigureError : no such file or column.
        """
        result = self.get(name)
        if column not in _columns(result):
            raise MissingFigureError(f"{result.name}: has no column {column}")
        return [_plain(text) for text in dict.fromkeys(r[column] for r in _fitting(result, where))]

    def has(self, name: str, *path: str | int, **where: object) -> bool:
        """Whether there is such a file and, where asked for, such a figure in it."""
        try:
            result = self.get(name)
            if path:
                stat = "count" if path[0] in _columns(result) else None
                self.figure(name, *path, stat=stat, **where)
        except MissingFigureError:
            return False
        return True


def _columns(result: Result) -> list[str]:
    rows = result.data
    return list(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else []


def _fitting(result: Result, where: dict[str, object]) -> list[dict[str, str]]:
    columns = _columns(result)
    for name in where:
        if name not in columns:
            raise MissingFigureError(f"{result.name}: has no column {name}")
    return [row for row in result.data if all(_same(row[n], v) for n, v in where.items())]


def _same(cell: str, wanted: object) -> bool:
    return cell == str(wanted) or (cell != "" and _plain(cell) == wanted)


def _inside(result: Result, path: tuple[str | int, ...]) -> Any:
    value = result.data
    for i, key in enumerate(path):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            raise MissingFigureError(f"{result.name}: has no {_spoken(path[: i + 1])}") from None
    if value is None:
        raise MissingFigureError(f"{result.name}: {_spoken(path)} was not measured")
    # FastPose-M's report has its counts with commas.
    if isinstance(value, str) and value.replace(",", "").isdigit():
        return int(value.replace(",", ""))
    return value


def _plain(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and "." not in text else number


def _numbers(result: Result, column: str, cells: Sequence[str]) -> list[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise MissingFigureError(f"{result.name}: {column} holds what is no number")
    return values


def _told(where: dict[str, object]) -> str:
    return " where " + ", ".join(f"{k} is {v}" for k, v in where.items()) if where else ""


def _spoken(path: tuple[str | int, ...]) -> str:
    return " > ".join(map(str, path)) or "figure"
