"""Pictures of sequence networks, as ``benchmarks/temporal.py`` measures them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keyact.report.pictures.base import COLOURS, MARKERS, Picture, named
from keyact.report.results import Sample
from keyact.report.sources import Result
from keyact.report.tables.base import grouped, sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def models(result: Result) -> Picture:
    def draw() -> Figure:
        from keyact.evaluate.plots import INK, blank, titled

        figure, axes = blank(7.2, 4.6)
        ax = axes[0, 0]
        column = judged_by(result)
        found = [
            (name, sample(group, "ms"), sample(group, column), sample(group, "parameters"))
            for name, group in grouped(result, "model")
        ]
        shown = sorted(
            ((n, t.mean, a, p.mean if p else 0.0) for n, t, a, p in found if t and a),
            key=lambda one: one[1],
        )
        for i, (name, ms, accuracy, parameters) in enumerate(shown):
            ax.errorbar(ms, accuracy.mean, accuracy.sd, color=COLOURS[i % 10], capsize=3,
                        marker="o", markersize=5 + 4 * (parameters / 1e6) ** 0.5)  # fmt: skip
            up = i % 2 == 0
            ax.annotate(
                name, (ms, accuracy.mean + (accuracy.sd if up else -accuracy.sd)),
                xytext=(0, 7 if up else -7), textcoords="offset points", ha="center",
                va="bottom" if up else "top", fontsize=8.5, color=INK,
            )  # fmt: skip
        times = [ms for _, ms, *_ in shown]
        if times and max(times) > 10 * min(times):
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(x=0.12, y=0.16)
        ax.grid(alpha=0.25)
        titled(ax, "", "ms for a window on one core", spoken_column(column))
        return figure

    return Picture(
        named(result, "models"),
        "Sequence networks: accuracy (mean ± deviation over the seeds) against time; the size of a "
        "mark grows with the parameters",
        draw,
    )


def variants(result: Result) -> Picture:
    def draw() -> Figure:
        from keyact.evaluate.plots import BLUE, GREY, ORANGE, blank, titled

        column = judged_by(result)
        found = [
            (f"{variant} ({model})" if len(grouped(result, "model")) > 1 else variant, one)
            for (variant, model), group in grouped(result, "variant", "model")
            if (one := sample(group, column)) is not None
        ]
        figure, axes = blank(6.6, 1.2 + 0.36 * len(found))
        ax = axes[0, 0]
        for place, (name, one) in enumerate(found):
            colour = ORANGE if name.startswith("full") else BLUE
            ax.errorbar(one.mean, place, xerr=one.sd, fmt="o", color=colour, ecolor=GREY,
                        elinewidth=2.5)  # fmt: skip
        ax.set_yticks(range(len(found)), [name for name, _ in found])
        ax.set_ylim(len(found) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.25)
        titled(ax, "", f"{spoken_column(column)}, mean ± deviation over the seeds")
        return figure

    return Picture(named(result, "variants"), "What is left without some of the time", draw)


def actions(result: Result) -> Picture:
    """Cells: recall of each action under each variant."""

    def draw() -> Figure:
        import numpy as np

        from keyact.evaluate.plots import INK, blank, spoken

        names = list(dict.fromkeys(row["variant"] for row in result.data))
        by_action = grouped(result, "action")
        table = np.full((len(by_action), len(names)), np.nan)
        for y, (_, group) in enumerate(by_action):
            for x, name in enumerate(names):
                one = sample([row for row in group if row["variant"] == name], "recall")
                table[y, x] = np.nan if one is None else one.mean
        if {"full", "single"} <= set(names):
            gain = table[:, names.index("full")] - table[:, names.index("single")]
            order = np.argsort(-np.nan_to_num(gain), kind="stable")
        else:
            order = np.arange(len(by_action))
        figure, axes = blank(2.4 + 0.75 * len(names), 1 + 0.3 * len(by_action))
        ax = axes[0, 0]
        ax.imshow(table[order], cmap="RdYlBu", vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(table[order]):
            if not np.isnan(value):
                dark = value < 0.12 or value > 0.92
                ax.text(x, y, f"{value:.0%}", ha="center", va="center", fontsize=8,
                        color="white" if dark else INK)  # fmt: skip
        ax.spines[:].set_visible(False)
        ax.set_xticks(range(len(names)), names)
        ax.set_yticks(range(len(by_action)), [spoken(by_action[i][0]) for i in order])
        return figure

    return Picture(
        named(result, "actions"),
        "Recall of each action with what is left; the actions that gain most from time come first",
        draw,
        "png",
    )


def noise(result: Result) -> Picture:
    def draw() -> Figure:
        from keyact.evaluate.plots import blank, titled

        kinds = grouped(result, "noise")
        clean = [row for row in result.data if float(row["amount"]) == 0]
        figure, axes = blank(3.5 * len(kinds), 3.7, columns=len(kinds), sharey=True)
        titles = {"jitter": "jitter, in body sizes", "joints": "share of joints not seen",
                  "frames": "share of frames not seen"}  # fmt: skip
        for ax, (kind, rows) in zip(axes[0], kinds, strict=True):
            # Nothing spoilt is the same for every kind, and measured for one.
            rows = [*(clean if not any(float(r["amount"]) == 0 for r in rows) else ()), *rows]
            _lines(ax, rows, "amount")
            titled(ax, "", titles.get(kind, kind), "")
        axes[0, 0].set_ylabel("test top-1", fontsize=9)
        axes[0, -1].legend(fontsize=7.5, frameon=False)
        return figure

    caption = "Sequence networks on spoilt key points; bands: deviation over the seeds"
    return Picture(named(result, "noise"), caption, draw)


def early(result: Result) -> Picture:
    def draw() -> Figure:
        from keyact.evaluate.plots import blank, titled

        figure, axes = blank(6.8, 4.2)
        ax = axes[0, 0]
        _lines(ax, result.data, "seen")
        ax.legend(fontsize=8, frameon=False, loc="lower right")
        titled(ax, "", "share of the frames that have been seen", "test top-1")
        return figure

    caption = "Early recognition; bands: deviation over the seeds"
    return Picture(named(result, "early"), caption, draw)


def _lines(ax: Axes, rows: Sequence[dict[str, str]], column: str) -> None:
    """A line for each network through the means of its seeds, in a band of their deviation."""
    for i, (name, group) in enumerate(grouped(rows, "model")):
        found: list[tuple[float, Sample]] = []
        for place, part in grouped(group, column):
            one = sample(part, "test_top1")
            if one is not None:
                found.append((float(place), one))
        found.sort(key=lambda pair: pair[0])
        x = [place for place, _ in found]
        mean = [one.mean for _, one in found]
        ax.plot(x, mean, marker=MARKERS[i % 10], markersize=4, linewidth=1.5,
                color=COLOURS[i % 10], label=name)  # fmt: skip
        low, high = ([one.mean + sign * one.sd for _, one in found] for sign in (-1, 1))
        ax.fill_between(x, low, high, color=COLOURS[i % 10], alpha=0.13, linewidth=0)
    ax.grid(alpha=0.25)


def judged_by(result: Result) -> str:
    """Test figures, or val's as long as there are none."""
    return "test_top1" if any(row["test_top1"] for row in result.data) else "val_top1"


def spoken_column(column: str) -> str:
    return column.replace("_top1", " top-1")
