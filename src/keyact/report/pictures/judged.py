"""Pictures of models that were judged, as their own commands draw them, and sheets of photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from keyact.report.pictures.base import Picture, named, sheet
from keyact.report.sources import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion(result: Result) -> Picture:
    from keyact.evaluate import plots

    return _of_evaluation(result, "confusion", "Confusion matrix", plots.confusion, "png")


def reliability(result: Result) -> Picture:
    from keyact.evaluate import plots

    return _of_evaluation(
        result, "reliability", "Reliability: accuracy against confidence", plots.reliability
    )


def subgroups(result: Result) -> Picture:
    from keyact.evaluate import plots

    return _of_evaluation(result, "subgroups", "Accuracy in parts of the data", plots.subgroups)


def pareto(result: Result) -> Picture:
    from keyact.evaluate.comparison_report import Compared
    from keyact.evaluate.comparison_report import pareto as draw

    def figure() -> Figure:
        rows = [{k: v if v != "" else None for k, v in row.items()} for row in result.data]
        return draw([Compared.model_validate(row) for row in rows])

    return Picture(named(result, "pareto"), "Accuracy against time of the compared models", figure)


def robustness(result: Result) -> Picture:
    from keyact.evaluate.robustness_report import Robustness, plot

    return Picture(
        named(result, "robustness"),
        "Top-1 under each perturbation and severity",
        lambda: plot(Robustness.load(result.path)),
        "png",
    )


def mistakes(result: Result) -> Picture | None:
    return sheet(result, "mistakes.png", "Photos that are wrong, the most confident first")


def hits(result: Result) -> Picture | None:
    return sheet(result, "hits.png", "Photos that are right")


def curves(result: Result) -> Picture | None:
    return sheet(result, "curves.png", f"Training of {result.name}")


def _of_evaluation(
    result: Result, name: str, caption: str, draw: Any, form: Literal["svg", "png"] = "svg"
) -> Picture:
    from keyact.evaluate.report import Evaluation

    found = Evaluation.load(result.path)
    where = " ".join(filter(None, (found.dataset, found.split)))
    caption = f"{caption}, {found.model} on {where}"
    return Picture(named(result, name), caption, lambda: draw(found), form)
