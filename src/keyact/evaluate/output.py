"""How this part reads files, up to a limit, and writes them: whole, or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyact.errors import InputError
from keyact.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 130


def read_capped(path: Path, limit: int) -> bytes:
    """What one of our own result files holds.

    Raises
    ------
    InputError : it cannot be read, or is longer than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > limit:
        raise InputError(f"{path}: longer than {limit >> 20} MiB")
    return data


def write_json(path: Path, data: Any) -> None:
    """JSON, indented, without NaN (which no other reader takes)."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as part:
        part.write_text(text + "\n", "utf-8", errors="replace")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A table with the columns of its first row."""
    with (
        replacing(path) as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def save_figure(path: Path, figure: Figure) -> None:
    """A PNG, cut to what is drawn."""
    with replacing(path) as part:
        figure.savefig(part, dpi=DPI, bbox_inches="tight", facecolor="white")
