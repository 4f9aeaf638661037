"""The table of a comparison: as CSV, as Markdown, and as a picture of accuracy against time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from keyact.evaluate.output import save_figure, write_csv
from keyact.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Compared(BaseModel):
    """One row of the table. Fields that were not measured are None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    rows: int
    top1: float
    top1_low: float
    top1_high: float
    balanced_accuracy: float
    macro_f1: float
    ece: float
    gained: int
    """Rows right here and wrong in the first model; ``lost`` the other way round."""
    lost: int
    p_vs_first: float | None
    """Exact McNemar test against the first model."""
    corruption_accuracy: float | None
    corruption_relative: float | None
    mce_vs_first: float | None
    parameters: int
    macs: int
    bytes: int
    ms_1_p50: float
    ms_1_p95: float
    ms_2_p50: float | None
    ms_2_p95: float | None
    photo_ms_1_p50: float | None
    memory_mb: float | None


def save_comparison(folder: str | Path, table: Sequence[Compared]) -> None:
    """Write ``comparison.csv``, ``comparison.md`` and ``pareto.png`` into a folder.

    Raises
    ------
    KeyactError : the folder cannot be written.
    """
    folder = Path(folder)
    write_csv(folder / "comparison.csv", [row.model_dump() for row in table])
    save_figure(folder / "pareto.png", pareto(table))
    with replacing(folder / "comparison.md") as part:
        part.write_text(markdown(table), "utf-8")


def markdown(table: Sequence[Compared]) -> str:
    """The table as Markdown; columns that no model has a value in are left out."""
    columns: dict[str, Callable[[Compared], str]] = {
        "model": lambda r: r.model.replace("|", "\\|"),
        "top-1 (95 % interval)": lambda r: f"{r.top1:.3f} ({r.top1_low:.3f}–{r.top1_high:.3f})",
        "balanced": lambda r: f"{r.balanced_accuracy:.3f}",
        "macro-F1": lambda r: f"{r.macro_f1:.3f}",
        "ECE": lambda r: f"{r.ece:.3f}",
        "p vs first": lambda r: _text(r.p_vs_first, ".2g"),
        "corrupted": lambda r: _text(r.corruption_accuracy, ".3f"),
        "mCE vs first": lambda r: _text(r.mce_vs_first, ".2f"),
        "parameters": lambda r: f"{r.parameters / 1e6:.2f} M",
        "MACs": lambda r: f"{r.macs / 1e6:.0f} M",
        "file": lambda r: f"{r.bytes / 1e6:.1f} MB",
        "1 thread p50 / p95": lambda r: f"{r.ms_1_p50:.1f} / {r.ms_1_p95:.1f} ms",
        "2 threads p50 / p95": lambda r: (
            "" if r.ms_2_p50 is None else f"{r.ms_2_p50:.1f} / {r.ms_2_p95:.1f} ms"
        ),
        "whole photo, 1 thread": lambda r: _text(r.photo_ms_1_p50, ".0f", " ms"),
        "memory": lambda r: _text(r.memory_mb, ".0f", " MB"),
    }
    cells = {name: [make(row) for row in table] for name, make in columns.items()}
    kept = {name: column for name, column in cells.items() if any(column)}
    lines = [
        "| " + " | ".join(kept) + " |",
        "|" + "|".join(" --- " if name == "model" else " ---: " for name in kept) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in zip(*kept.values(), strict=True)]
    return "\n".join(lines) + "\n"


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def pareto(table: Sequence[Compared]) -> Figure:
    """Accuracy against time; the line joins the models that no other beats in both."""
    from keyact.evaluate.plots import BLUE, GREY, INK, ORANGE, blank, titled

    figure, axes = blank(7.6, 4.8)
    ax = axes[0, 0]
    front = pareto_front(table)
    ax.step(
        [row.ms_1_p50 for row in front], [row.top1 for row in front], where="post", color=ORANGE,
        linewidth=1.2, linestyle="--", zorder=1, label="not beaten in both",
    )  # fmt: skip
    for place, row in enumerate(sorted(table, key=lambda row: row.ms_1_p50)):
        ax.errorbar(
            row.ms_1_p50, row.top1, [[row.top1 - row.top1_low], [row.top1_high - row.top1]],
            color=GREY, linewidth=1, capsize=2, zorder=2,
        )  # fmt: skip
        size = 30 + 60 * (row.parameters / 1e6) ** 0.5
        ax.scatter(row.ms_1_p50, row.top1, size, color=BLUE if row in front else GREY, zorder=3)
        side = 1 if place % 2 else -1  # neighbours in time have their names on different sides
        ax.annotate(
            f"{row.model}\n{row.parameters / 1e6:.2g} M",
            (row.ms_1_p50, row.top1_high if side > 0 else row.top1_low), xytext=(0, 5 * side),
            textcoords="offset points", ha="center", va="bottom" if side > 0 else "top",
            fontsize=8, color=INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    times = [row.ms_1_p50 for row in table]
    if max(times) > 3 * min(times):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.18, y=0.14)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    titled(
        ax,
        f"{table[0].rows} rows; area: parameters; bars: 95 % intervals",
        "ms for a photo with one person, 1 CPU thread, median",
        "top-1 accuracy",
    )
    return figure


def pareto_front(table: Sequence[Compared]) -> list[Compared]:
    """The models that none of the others beats in both accuracy and time, fastest first."""
    front: list[Compared] = []
    for row in sorted(table, key=lambda row: (row.ms_1_p50, -row.top1)):
        if not front or row.top1 > front[-1].top1:
            front.append(row)
    return front
