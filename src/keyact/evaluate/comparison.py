"""Models side by side: how good, how sure of it, how large and how fast."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from keyact import action
from keyact.data.base import Dataset
from keyact.data.people import find_people
from keyact.errors import InputError, KeyactError
from keyact.evaluate import metrics
from keyact.evaluate.comparison_report import Compared
from keyact.evaluate.cost import RUNS, measure_latency, measure_size
from keyact.evaluate.identity import dataset_identity, fingerprint, model_identity, stage_identities
from keyact.evaluate.output import write_json
from keyact.evaluate.predict import known_samples, photos_of, predict_dataset
from keyact.evaluate.predictions import Predictions, load_predictions, told_again
from keyact.evaluate.significance import bootstrap, mcnemar
from keyact.machine import cpu_name, usable_cpus

if TYPE_CHECKING:
    from keyact.data.progress import Progress
    from keyact.evaluate.robustness_report import Robustness


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


def compare(
    models: Sequence[str | Path],
    dataset: Dataset,
    folder: str | Path,
    *,
    detector: str = "persondet-m",
    pose: str = "fastpose-m",
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

    What was measured is kept in ``folder`` by the hash of the weights and of the photos, so
    a run that was stopped goes on there and a new model costs only itself.

    Parameters
    ----------
    models : names or ``.onnx`` files.
    dataset : photos with labels.
    folder : of the kept measurements.
    detector, pose : as `keyact.data.people.find_people` takes them.
    robustness : measures a model's robustness; left out when None.
    resamples : of the bootstrap.
    runs : of each latency.
    on_model_error : told of a model that cannot be measured, which is then left out; the error is
        raised when None.

    Raises
    ------
    KeyactError : no model could be measured.
    """
    cache = Path(folder)
    stages = (detector, pose)
    told = progress or (lambda what: None)
    names = _names(models)
    first: Predictions | None = None
    first_robustness: Robustness | None = None
    table: list[Compared] = []
    for model, name in zip(models, names, strict=True):
        try:
            found = _predictions(
                model, name, dataset, stages, cache, jobs, only_known, on_photo_error, told(name)
            )
            cost = _cost(model, _typical(found), stages, cache, runs)
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
    stages: tuple[str, str],
    cache: Path,
    jobs: int | None,
    only_known: bool,
    on_error: Callable[[str, InputError], None] | None,
    progress: Progress | None,
) -> Predictions:
    jobs = jobs or os.cpu_count() or 1
    loaded = action.load(model, threads=1 if jobs > 1 else None)
    known = known_samples(loaded, dataset, only_known)
    detector, pose = stages
    settings = fingerprint(
        model_identity(model), dataset_identity(known), *stage_identities(detector, pose)
    )
    path = cache / f"predictions-{settings}.npz"
    if path.is_file():
        kept = load_predictions(path)
        told_again(kept, on_error)
        return replace(kept, model=name)
    made = predict_dataset(
        loaded,
        known,
        find_people(photos_of(known), detector=detector, pose=pose, jobs=jobs),
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


def _cost(
    model: str | Path, photo: Path | None, stages: tuple[str, str], cache: Path, runs: int
) -> Cost:
    cpus = usable_cpus()
    settings = fingerprint(
        model_identity(model), *stage_identities(*stages), str(photo), runs, cpus, cpu_name()
    )
    path = cache / f"cost-{settings}.json"
    if path.is_file():
        try:
            return Cost.model_validate_json(path.read_text("utf-8"))
        except ValidationError as error:
            raise InputError(f"{path}: not a measured cost; delete it ({error})") from None
    size = measure_size(model)
    one = measure_latency(model, 1, photo=photo, stages=stages, runs=runs)
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
