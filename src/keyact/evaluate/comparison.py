"""Models side by side: how good, how sure of it, how large and how fast."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from keyact import action
from keyact.data.base import Dataset
from keyact.data.people import People
from keyact.errors import InputError, KeyactError
from keyact.evaluate import metrics
from keyact.evaluate.cost import RUNS, measure_latency, measure_size, usable_cpus
from keyact.evaluate.identity import dataset_identity, fingerprint, model_identity
from keyact.evaluate.output import replacing, save_figure, write_csv, write_json
from keyact.evaluate.predict import known_samples, photos_of, predict_dataset
from keyact.evaluate.predictions import Predictions, load_predictions
from keyact.evaluate.significance import bootstrap, mcnemar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keyact.data.progress import Progress
    from keyact.evaluate.robustness_report import Robustness

FindPeople: TypeAlias = Callable[[Sequence[Path]], Iterable["tuple[Path, People | InputError]"]]


class Cost(BaseModel):
    """Size, time and memory of one model on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int
    macs: int
    bytes: int
    ms_1_p50: float
    ms_1_p95: float
    ms_2_p50: float | None
    ms_2_p95: float | None
    photo_ms_1_p50: float | None
    memory_mb: float | None


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


def compare(
    models: Sequence[str | Path],
    dataset: Dataset,
    folder: str | Path,
    people: FindPeople,
    *,
    robustness: Callable[[str], Robustness] | None = None,
    resamples: int = 1000,
    runs: int = RUNS,
    seed: int = 0,
    jobs: int | None = None,
    only_known: bool = False,
    on_photo_error: Callable[[str, InputError], None] | None = None,
    on_model_error: Callable[[str, KeyactError], None] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> list[Compared]:
    """Judge and measure models on the same photos; the first is what the others are tested against.

    What was measured is kept in ``folder/cache`` by the hash of the weights and of the photos, so
    a run that was stopped goes on there and a new model costs only itself.

    Parameters
    ----------
    models : names or ``.onnx`` files.
    dataset : photos with labels.
    people : finds the people of photos, such as `keyact.data.people.find_people`.
    robustness : measures a model's robustness; left out when None.
    resamples : of the bootstrap.
    runs : of each latency.
    on_model_error : told of a model that cannot be measured, which is then left out; the error is
        raised when None.

    Raises
    ------
    KeyactError : no model could be measured.
    """
    cache = Path(folder) / "cache"
    told = progress or (lambda what: None)
    names = _names(models)
    first: Predictions | None = None
    first_robustness: Robustness | None = None
    table: list[Compared] = []
    for model, name in zip(models, names, strict=True):
        try:
            found = _predictions(
                model, name, dataset, people, cache, jobs, only_known, on_photo_error, told(name)
            )
            cost = _cost(model, _typical(found), cache, runs)
            borne = None if robustness is None else robustness(str(model))
            first, first_robustness = first or found, first_robustness or borne
            table.append(_row(name, found, cost, borne, first, first_robustness, resamples, seed))
        except KeyactError as error:
            if on_model_error is None:
                raise
            on_model_error(name, error)
    if not table:
        raise KeyactError("no model could be measured")
    return table


def _names(models: Sequence[str | Path]) -> list[str]:
    """What each model is called: the shortest end of its path that tells it from the others."""
    texts = [str(model) for model in models]
    names = []
    for text in texts:
        parts = Path(text).with_suffix("").parts if text.endswith(".onnx") else (text,)
        length = 1
        while length < len(parts) and any(
            other != text and Path(other).with_suffix("").parts[-length:] == parts[-length:]
            for other in texts
        ):
            length += 1
        names.append("/".join(parts[-length:]))
    return names


def _predictions(
    model: str | Path,
    name: str,
    dataset: Dataset,
    people: FindPeople,
    cache: Path,
    jobs: int | None,
    only_known: bool,
    on_error: Callable[[str, InputError], None] | None,
    progress: Progress | None,
) -> Predictions:
    jobs = jobs or os.cpu_count() or 1
    loaded = action.load(model, threads=1 if jobs > 1 else None)
    known = known_samples(loaded, dataset, only_known)
    path = cache / f"predictions-{fingerprint(model_identity(model), dataset_identity(known))}.npz"
    if path.is_file():
        return replace(load_predictions(path), model=name)
    made = predict_dataset(
        loaded,
        known,
        people(photos_of(known)),
        on_error=on_error or "raise",
        progress=progress,
        jobs=jobs,
    )
    made.save(path)
    return replace(made, model=name)


def _typical(predictions: Predictions) -> Path | None:
    """A photo with one person, the usual case, to time the whole pipeline on."""
    alone = predictions.attributes["people"] == 1
    rows = [i for i, one in enumerate(alone) if one] or [0]
    return Path(predictions.paths[rows[0]])


def _cost(model: str | Path, photo: Path | None, cache: Path, runs: int) -> Cost:
    cpus = usable_cpus()
    settings = fingerprint(model_identity(model), str(photo), runs, cpus, platform.machine())
    path = cache / f"cost-{settings}.json"
    if path.is_file():
        try:
            return Cost.model_validate_json(path.read_text("utf-8"))
        except ValidationError as error:
            raise InputError(f"{path}: not a measured cost; delete it ({error})") from None
    size = measure_size(model)
    one = measure_latency(model, 1, photo=photo, runs=runs)
    two = measure_latency(model, 2, runs=runs) if cpus > 1 else None
    found = Cost(
        **size._asdict(),
        ms_1_p50=one.p50,
        ms_1_p95=one.p95,
        ms_2_p50=None if two is None else two.p50,
        ms_2_p95=None if two is None else two.p95,
        photo_ms_1_p50=one.photo_p50,
        memory_mb=one.memory,
    )
    write_json(path, found.model_dump())
    return found


def _row(
    name: str,
    found: Predictions,
    cost: Cost,
    borne: Robustness | None,
    first: Predictions,
    first_robustness: Robustness | None,
    resamples: int,
    seed: int,
) -> Compared:
    top1 = bootstrap(found, metrics.METRICS["top1"], resamples=resamples, seed=seed)
    test = None if found is first else mcnemar(found, first)
    summary = borne.summary() if borne else {}
    mce = None
    if borne is not None and first_robustness is not None and borne is not first_robustness:
        mce = round(borne.corruption_error(first_robustness), 4)
    return Compared(
        model=name,
        rows=len(found),
        top1=round(top1.value, 4),
        top1_low=round(top1.low, 4),
        top1_high=round(top1.high, 4),
        balanced_accuracy=round(metrics.balanced_accuracy(found), 4),
        macro_f1=round(metrics.macro_f1(found), 4),
        ece=round(metrics.METRICS["ece"](found), 4),
        gained=test.gained if test else 0,
        lost=test.lost if test else 0,
        p_vs_first=float(f"{test.p:.3g}") if test else None,
        corruption_accuracy=summary.get("corruption_accuracy"),
        corruption_relative=summary.get("corruption_relative"),
        mce_vs_first=mce,
        **cost.model_dump(),
    )


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
    for row in table:
        best = row in front
        ax.errorbar(
            row.ms_1_p50, row.top1, [[row.top1 - row.top1_low], [row.top1_high - row.top1]],
            color=GREY, linewidth=1, capsize=2, zorder=2,
        )  # fmt: skip
        size = 30 + 60 * (row.parameters / 1e6) ** 0.5
        ax.scatter(row.ms_1_p50, row.top1, size, color=BLUE if best else GREY, zorder=3)
        ax.annotate(
            f"{row.model}\n{row.parameters / 1e6:.1f} M", (row.ms_1_p50, row.top1),
            xytext=(9, 5), textcoords="offset points", fontsize=8, color=INK,
        )  # fmt: skip
    times = [row.ms_1_p50 for row in table]
    if max(times) > 3 * min(times):
        ax.set_xscale("log")
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
