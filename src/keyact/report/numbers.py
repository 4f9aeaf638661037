"""How figures are written, and texts from files, so that Markdown takes neither for its own."""

from __future__ import annotations

import math
import re
from typing import Any

from keyact.errors import InputError
from keyact.report.results import Sample

MAX_TEXT = 400
SPACE = "\u00a0"  # between a figure and its unit: no line breaks there

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$#!^])")


class Markdown(str):
    """Text that is Markdown already; all other text is escaped before it is shown."""

    __slots__ = ()


def escape(text: object) -> Markdown:
    """A text that shows as it is: one line, without any meaning in Markdown or HTML."""
    line = re.sub(r"\s+", " ", str(text))
    line = line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
    shown = _SPECIAL.sub(r"\\\1", line)
    return Markdown("\\" + shown if shown[:1] in ("-", "+", "=") else shown)


def shown(value: object) -> Markdown:
    """What a value looks like in the text when nothing says how."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, bool) or value is None:
        return escape("" if value is None else "yes" if value else "no")
    if isinstance(value, Sample):
        return fixed(value, 4)
    if isinstance(value, float):
        return Markdown(_minus(f"{_number(value):.4g}"))
    return whole(value) if isinstance(value, int) else escape(value)


def percent(value: Any, digits: int = 1) -> Markdown:
    """A share of 1: ``90.0 %``; of several seeds ``90.0 ± 0.4 %``."""
    return _with_spread(value, lambda x: f"{100 * x:.{digits}f}", "%")


def fixed(value: Any, digits: int = 3, unit: str = "") -> Markdown:
    """So many decimals."""
    return _with_spread(value, lambda x: f"{x:.{digits}f}", unit)


def points(value: Any, digits: int = 1, signed: bool = True) -> Markdown:
    """A difference of two shares in percentage points."""
    number = 100 * _number(value)
    text = f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"
    return Markdown(f"{_minus(text)}{SPACE}points")


def whole(value: Any) -> Markdown:
    """A whole number with commas."""
    return Markdown(_minus(f"{_number(value):,.0f}"))


def millions(value: Any, digits: int = 2) -> Markdown:
    """``2.66 M``; below ten thousand the number itself, which would be rounded away."""
    number = _number(value)
    if abs(number) < 1e4:
        return whole(number)
    return Markdown(f"{number / 1e6:.{digits}f}{SPACE}M")


def probability(value: Any) -> Markdown:
    """A p value, to two digits."""
    number = _number(value)
    return Markdown("< 0.0001" if number < 1e-4 else f"{number:.2g}")


FILTERS = {
    "percent": percent,
    "fixed": fixed,
    "points": points,
    "whole": whole,
    "millions": millions,
    "probability": probability,
}


def _with_spread(value: Any, write: Any, unit: str) -> Markdown:
    text = _minus(write(_number(value)))
    if isinstance(value, Sample) and value.n > 1:
        text += f" ± {write(value.sd)}"
    return Markdown(f"{text}{SPACE}{unit}" if unit else text)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{str(value)[:80]!r} is no number to show")
    return number


def _minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
