"""One evaluation: every figure of one set of predictions, as versioned JSON and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from keyact.errors import InputError
from keyact.evaluate import metrics
from keyact.evaluate.output import read_capped, write_csv, write_json
from keyact.evaluate.predictions import Predictions
from keyact.evaluate.significance import bootstrap, mcnemar
from keyact.evaluate.subgroups import subgroups

MAX_JSON_BYTES = 64 * 2**20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Figure(_Part):
    """A figure in [0, 1] with its bootstrap confidence interval."""

    value: float
    low: float
    high: float


class ClassFigures(_Part):
    """One class that occurs among the targets."""

    label: str
    rows: int
    """Of this class."""
    predicted: int
    """Rows that were called so."""
    precision: float
    recall: float
    f1: float


class ReliabilityBin(_Part):
    """Rows whose confidence lies in [low, high)."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


class Subgroup(_Part):
    """Rows of one part of the data set, with Wilson's 95 % interval."""

    name: str
    rows: int
    accuracy: float
    low: float
    high: float


class Named(_Part):
    """Rows that get a name, because their confidence reaches the model's threshold."""

    threshold: float
    share: float
    accuracy: float | None
    """Of those that get a name; null when none does."""


class Comparison(_Part):
    """Exact McNemar test against another model on the same rows."""

    other: str
    other_top1: float
    gained: int
    """Rows that this model has right and the other wrong."""
    lost: int
    """Rows that the other has right and this model wrong."""
    p: float


class Evaluation(_Part):
    """What ``evaluation.json`` holds."""

    schema_version: Literal["1"] = "1"
    keyact: str
    """Version of the installation that made it."""
    model: str
    dataset: str
    split: str | None
    rows: int
    """Photos, people or sequences that were judged."""
    failed: tuple[str, ...]
    """Photos that could not be read and are in no figure."""
    grouped: bool
    """Whether the bootstrap drew whole groups."""
    resamples: int
    level: float
    """Of the confidence intervals."""
    metrics: dict[str, Figure]
    """top1, top5, balanced_accuracy, macro_f1, map (mean average precision) and ece."""
    named: Named
    accuracy_at_coverage: dict[str, float]
    """Accuracy on the most confident share of the rows."""
    reliability: tuple[ReliabilityBin, ...]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Row: true action, column: predicted one, in the order of ``labels``."""
    per_class: tuple[ClassFigures, ...]
    subgroups: dict[str, tuple[Subgroup, ...]]
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers are rounded to 5 decimals (p values to 5 digits)."""
        data: dict[str, Any] = _rounded(self.model_dump(mode="json"))
        for row, comparison in zip(data["comparisons"], self.comparisons, strict=True):
            row["p"] = float(f"{comparison.p:.5g}")
        return data

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read ``evaluation.json``.

        Raises
        ------
        InputError : no such file, too large, or not of this schema version.
        """
        text = read_capped(Path(path), MAX_JSON_BYTES)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{path}: not an evaluation: {where}: {first['msg']}") from None


def evaluate(
    predictions: Predictions,
    *,
    against: Sequence[Predictions] = (),
    split: str | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """All figures of one set of predictions.

    Parameters
    ----------
    against : other models' predictions on the same rows, for McNemar tests.
    split : noted in the result.
    resamples : of the bootstrap; 0 leaves the intervals empty. Whole groups are drawn where the
        predictions have groups.
    level : of the confidence intervals.
    seed : the same seed gives the same intervals.

    Raises
    ------
    InputError : no rows.
    KeyactError : ``against`` is about other rows; scikit-learn or SciPy is missing.
    """
    if len(predictions) == 0:
        raise InputError(f"{predictions.dataset}: no predictions to evaluate")
    named = predictions.confidence >= predictions.unknown_threshold
    right = predictions.right
    return Evaluation(
        keyact=version("keyact"),
        model=predictions.model,
        dataset=predictions.dataset,
        split=split,
        rows=len(predictions),
        failed=predictions.failed,
        grouped=predictions.groups is not None,
        resamples=resamples,
        level=level,
        metrics={
            name: Figure(
                **bootstrap(
                    predictions, figure, resamples=resamples, level=level, seed=seed
                )._asdict()
            )
            for name, figure in metrics.METRICS.items()
        },
        named=Named(
            threshold=predictions.unknown_threshold,
            share=float(named.mean()),
            accuracy=float(right[named].mean()) if named.any() else None,
        ),
        accuracy_at_coverage=metrics.accuracy_at_coverage(predictions),
        reliability=tuple(
            ReliabilityBin(**found._asdict())
            for found in metrics.reliability(predictions.confidence, right)
        ),
        labels=predictions.labels,
        confusion=tuple(map(tuple, metrics.confusion(predictions).tolist())),
        per_class=tuple(ClassFigures(**row._asdict()) for row in metrics.per_class(predictions)),
        subgroups={
            name: tuple(Subgroup(**part._asdict()) for part in table)
            for name, table in subgroups(predictions).items()
        },
        comparisons=tuple(
            Comparison(
                other=other.model,
                other_top1=float(other.right.mean()),
                **mcnemar(predictions, other)._asdict(),
            )
            for other in against
        ),
    )


def save_evaluation(folder: str | Path, evaluation: Evaluation, predictions: Predictions) -> None:
    """Write an evaluation into a folder.

    ``evaluation.json``, ``per_class.csv``, ``predictions.npz`` and ``.csv``, and the pictures
    ``confusion.png``, ``reliability.png``, ``coverage.png``, ``curves.png``, ``subgroups.png``,
    ``mistakes.png`` and ``hits.png``.

    Raises
    ------
    KeyactError : the folder cannot be written.
    """
    from keyact.evaluate import plots
    from keyact.evaluate.mistakes import save_hits, save_mistakes

    folder = Path(folder)
    predictions.save(folder / "predictions.npz")
    predictions.save(folder / "predictions.csv")
    write_csv(
        folder / "per_class.csv", [_rounded(row.model_dump()) for row in evaluation.per_class]
    )
    plots.save_all(folder, evaluation, predictions)
    save_mistakes(folder / "mistakes.png", predictions)
    save_hits(folder / "hits.png", predictions)
    # Last: where this file is, the others are complete.
    write_json(folder / "evaluation.json", evaluation.to_json())


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
