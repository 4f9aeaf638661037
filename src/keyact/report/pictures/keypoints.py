"""Pictures of the key points: levers, backends, and what they add to the action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyact.report.pictures.base import COLOURS, MARKERS, Picture, named
from keyact.report.sources import Result
from keyact.report.tables.base import grouped

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def levers(result: Result) -> Picture:
    """A column for each figure, a row for each setting; the line is what keyact ships."""

    def draw() -> Figure:
        from keyact.evaluate.plots import GREY, blank, titled

        columns = (("oks_true_boxes", "OKS, true boxes"), ("oks_detector", "OKS, own boxes"),
                   ("teacher_oks", "OKS with teacher"), ("top1", "action top-1"))  # fmt: skip
        rows = result.data
        figure, axes = blank(10, 1.2 + 0.24 * len(rows), columns=len(columns), sharey=True)
        base = next((r for r in rows if (r["lever"], r["value"]) == ("flip", "off")), rows[0])
        colours = {name: COLOURS[i % 8] for i, (name, _) in enumerate(grouped(rows, "lever"))}
        for ax, (column, title) in zip(axes[0], columns, strict=True):
            for place, row in enumerate(rows):
                if row[column]:
                    ax.plot(float(row[column]), place, "o", color=colours[row["lever"]])
            if base[column]:
                ax.axvline(float(base[column]), color=GREY, linestyle="--", linewidth=1)
            ax.grid(alpha=0.25)
            titled(ax, title)
            ax.title.set_fontsize(10)
            ax.locator_params(axis="x", nbins=4)
        axes[0, 0].set_yticks(range(len(rows)), [f"{r['lever']}: {r['value']}" for r in rows])
        axes[0, 0].invert_yaxis()
        return figure

    caption = "Each lever turned alone; the dashed line is the setting that is shipped"
    return Picture(named(result, "levers"), caption, draw)


def backends(result: Result) -> Picture:
    def draw() -> Figure:
        from keyact.evaluate.plots import INK, blank, titled

        figure, axes = blank(6.4, 4)
        ax = axes[0, 0]
        for i, row in enumerate(result.data):
            x, y = float(row["ms_per_person"]), float(row["oks"])
            ax.plot(x, y, MARKERS[i % 10], color=COLOURS[i % 10], markersize=8)
            name = f"{row['pose'].partition(':')[0]} ({row['detector']})"
            ax.annotate(name, (x, y), xytext=(0, 8), textcoords="offset points", ha="center",
                        fontsize=9, color=INK)  # fmt: skip
        ax.margins(0.2)
        ax.grid(alpha=0.25)
        titled(ax, "", "ms per person", "mean OKS")
        return figure

    return Picture(named(result, "backends"), "Pose backends: agreement against time", draw)


def ablation(result: Result) -> Picture:
    def draw() -> Figure:
        from keyact.evaluate.plots import BLUE, GREY, blank, titled

        figure, axes = blank(6.4, 1.1 + 0.45 * len(result.data))
        ax = axes[0, 0]
        for place, row in enumerate(result.data):
            mean, spread = float(row["test_top1_mean"]), float(row["test_top1_sd"] or 0)
            ax.errorbar(mean, place, xerr=spread, fmt="o", color=BLUE, ecolor=GREY, elinewidth=2.5)
        ax.set_yticks(range(len(result.data)), [row["branches"] for row in result.data])
        ax.set_ylim(len(result.data) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.25)
        titled(ax, "", "test top-1, mean ± deviation over the seeds")
        return figure

    return Picture(named(result, "ablation"), "What each branch of the photo model adds", draw)
