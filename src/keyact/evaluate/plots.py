"""The pictures of an evaluation, one function each; Matplotlib without a screen or global state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import extra
from keyact.evaluate.output import save_figure
from keyact.evaluate.predictions import Predictions
from keyact.evaluate.subgroups import EXPLAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from keyact.evaluate.report import Evaluation

BLUE, ORANGE, GREY, INK = "#2f6db5", "#e07b28", "#9aa3ad", "#22262b"
_FAINT = {"color": BLUE, "alpha": 0.22, "linewidth": 0.9}


def blank(
    width: float, height: float, *, columns: int = 1, rows: int = 1, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """An empty figure of that many inches and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    axes = np.array(figure.subplots(rows, columns, squeeze=False, **options))
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=9)
    return figure, axes


def titled(ax: Axes, title: str, x: str = "", y: str = "") -> None:
    ax.set_title(title, fontsize=11, loc="left", color=INK)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)


def save_all(folder: Path, evaluation: Evaluation, predictions: Predictions) -> None:
    """Every picture of an evaluation."""
    save_figure(folder / "confusion.png", confusion(evaluation))
    save_figure(folder / "reliability.png", reliability(evaluation))
    save_figure(folder / "coverage.png", coverage(evaluation, predictions))
    save_figure(folder / "curves.png", curves(predictions))
    save_figure(folder / "subgroups.png", subgroups(evaluation))


def confusion(evaluation: Evaluation) -> Figure:
    """Share of each true action (row) that was called so (column); counts in the cells."""
    counts = np.array(evaluation.confusion)
    kept = np.flatnonzero(counts.sum(1) + counts.sum(0))  # actions that occur at all
    counts, labels = counts[np.ix_(kept, kept)], [spoken(evaluation.labels[i]) for i in kept]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.6 + 0.36 * len(labels)
    figure, axes = blank(size + 0.6, size)
    ax = axes[0, 0]
    ax.spines[:].set_visible(False)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    ax.set_xticks(places, labels, rotation=55, ha="right", rotation_mode="anchor")
    ax.set_yticks(places, labels)
    for row, column in zip(*np.nonzero(counts), strict=True):
        ax.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=7 if counts.max() < 1000 else 5,
            color="white" if share[row, column] > 0.55 else INK,
        )
    figure.colorbar(image, ax=ax, shrink=0.7, label="share of the true action").outline.set_visible(
        False
    )
    top1 = evaluation.metrics["top1"].value
    titled(ax, f"{_subject(evaluation)}: top-1 {top1:.1%}", "predicted", "true")
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """Accuracy against confidence (Guo et al. 2017), and how many rows each bin holds."""
    figure, axes = blank(5.4, 6.9, rows=2, sharex=True, gridspec_kw={"height_ratios": (3.2, 1)})
    upper, lower = axes[:, 0]
    bins = evaluation.reliability
    low = [b.low for b in bins]
    width = [b.high - b.low for b in bins]
    upper.bar(
        low, [b.accuracy for b in bins], width, align="edge", color=BLUE, edgecolor="white",
        label="accuracy",
    )  # fmt: skip
    # What lies between the bar and the mean confidence of its bin is the calibration error.
    upper.bar(
        low, [b.confidence - b.accuracy for b in bins], width, [b.accuracy for b in bins],
        align="edge", color="none", edgecolor=ORANGE, hatch="///", linewidth=0.8,
        label="gap to confidence",
    )  # fmt: skip
    upper.plot((0, 1), (0, 1), "--", color=GREY, linewidth=1, label="perfectly calibrated")
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left", fontsize=8, frameon=False)
    ece = evaluation.metrics["ece"]
    interval = f" ({ece.low:.3f} to {ece.high:.3f})" if evaluation.resamples else ""
    titled(
        upper,
        f"{_subject(evaluation)}: ECE {ece.value:.3f}{interval}",
        y="accuracy",
    )
    lower.bar(low, [b.rows for b in bins], width, align="edge", color=GREY, edgecolor="white")
    lower.set_yscale("symlog", linthresh=10)
    titled(lower, "", "confidence", "rows")
    return figure


def coverage(evaluation: Evaluation, predictions: Predictions) -> Figure:
    """Accuracy on the most confident share of the rows, for every share."""
    figure, axes = blank(6, 4)
    ax = axes[0, 0]
    right = predictions.right[np.argsort(-predictions.confidence, kind="stable")]
    count = np.arange(1, len(right) + 1)
    accuracy = np.cumsum(right) / count
    first = min(20, len(right)) - 1  # shares of fewer rows are noise
    ax.plot(count[first:] / len(right), accuracy[first:], color=BLUE, linewidth=1.8)
    named = evaluation.named
    if named.accuracy is not None and named.threshold > 0:
        ax.plot(named.share, named.accuracy, "o", color=ORANGE)
        ax.annotate(
            f"gets a name (confidence ≥ {named.threshold:g}):\n"
            f"{named.share:.0%} of the rows, {named.accuracy:.1%} right",
            (named.share, named.accuracy),
            xytext=(-12, -12),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
        )
    low = min(float(accuracy[first:].min()), named.accuracy or 1.0)
    ax.set(xlim=(0, 1.005), ylim=(max(0.0, low - 0.08), 1.005))
    ax.grid(alpha=0.25)
    titled(ax, _subject(evaluation), "share of the rows, most confident first", "accuracy")
    return figure


def curves(predictions: Predictions) -> Figure:
    """ROC and precision-recall of each class against the rest, and their mean."""
    metrics = extra("sklearn.metrics")
    figure, axes = blank(9.4, 4.6, columns=2)
    roc, pr = axes[0]
    grid = np.linspace(0, 1, 201)
    mean_roc, mean_pr, areas, precisions = [], [], [], []
    for c in np.unique(predictions.targets):
        truth, score = predictions.targets == c, predictions.probabilities[:, c]
        if truth.all():
            continue  # nothing is left that it could be told from
        false, true, _ = metrics.roc_curve(truth, score)
        precision, recall, _ = metrics.precision_recall_curve(truth, score)
        roc.plot(false, true, **_FAINT)
        pr.plot(recall, precision, drawstyle="steps-post", **_FAINT)
        mean_roc.append(np.interp(grid, false, true))
        mean_pr.append(np.interp(grid, recall[::-1], precision[::-1]))
        areas.append(metrics.auc(false, true))
        precisions.append(metrics.average_precision_score(truth, score))
    if areas:
        roc.plot(grid, np.mean(mean_roc, 0), color=INK, label=f"mean, AUC {np.mean(areas):.4f}")
        pr.plot(grid, np.mean(mean_pr, 0), color=INK, label=f"mean, mAP {np.mean(precisions):.4f}")
    for ax, place in ((roc, "lower right"), (pr, "lower left")):
        ax.plot([], [], **_FAINT, label="a class against the rest")
        ax.legend(loc=place, fontsize=8, frameon=False)
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        ax.grid(alpha=0.25)
    titled(roc, f"{predictions.model}: ROC", "false positive rate", "true positive rate")
    titled(pr, "Precision and recall", "recall", "precision")
    return figure


def subgroups(evaluation: Evaluation) -> Figure:
    """Accuracy of each part with its 95 % interval; the dashed line is that of all rows."""
    tables = evaluation.subgroups
    heights = [len(table) for table in tables.values()] or [1]
    figure, axes = blank(
        7, 0.9 + 0.32 * sum(heights) + 0.55 * len(heights), rows=len(heights), sharex=True,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    if not tables:
        axes[0, 0].axis("off")
        titled(axes[0, 0], f"{_subject(evaluation)}: no attributes to go by")
        return figure
    everyone = evaluation.metrics["top1"].value
    for (name, table), ax in zip(tables.items(), axes[:, 0], strict=True):
        places = np.arange(len(table))
        value = np.array([part.accuracy for part in table])
        whiskers = [value - [p.low for p in table], [p.high for p in table] - value]
        ax.errorbar(
            value, places, xerr=np.abs(whiskers), fmt="o", markersize=6, color=BLUE, ecolor=GREY,
            elinewidth=2.5,
        )  # fmt: skip
        ax.grid(axis="x", alpha=0.25)
        ax.set_ylim(-0.6, len(table) - 0.4)
        ax.axvline(everyone, color=ORANGE, linestyle="--", linewidth=1)
        ax.set_yticks(places, [f"{part.name}  (n = {part.rows})" for part in table])
        ax.invert_yaxis()
        titled(ax, EXPLAINED.get(name, name))
        ax.title.set_fontsize(9)
    lowest = min(part.low for table in tables.values() for part in table)
    axes[-1, 0].set(xlim=(max(0.0, np.floor(lowest * 10 - 0.5) / 10), 1))
    axes[-1, 0].set_xlabel("top-1 accuracy, 95 % interval; dashed: all rows", fontsize=9)
    figure.suptitle(_subject(evaluation), fontsize=11, x=0.01, ha="left", color=INK)
    return figure


def _subject(evaluation: Evaluation) -> str:
    where = " ".join(filter(None, (evaluation.dataset, evaluation.split)))
    return f"{evaluation.model} on {where}" if where else evaluation.model


def spoken(label: str) -> str:
    """A label as it is printed."""
    return label.replace("_", " ")
