"""``keyact evaluate``: how good is a model on labelled photos?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

import typer
from rich.table import Table

from keyact.cli.judging import (
    Failures,
    Format,
    Jobs,
    Limit,
    OnlyKnown,
    ProgressOf,
    Resamples,
    Seed,
    Split,
    Splits,
    bars,
    labelled,
)
from keyact.cli.options import (
    Detector,
    GroupPattern,
    Images,
    Labels,
    Model,
    Pose,
    Root,
    reading,
)
from keyact.cli.terminal import FAILED, console, one_line_errors
from keyact.errors import InputError
from keyact.replacing import spare

if TYPE_CHECKING:
    from keyact.action.clips import ClipModel
    from keyact.evaluate import Evaluation, Predictions

T = TypeVar("T")

_SPOKEN = {
    "top1": "top-1",
    "top5": "top-5",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "map": "mAP",
    "ece": "ECE",
}
_MISTAKEN = 5  # confusions that the terminal names; the picture has all


def evaluate(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="Labelled photos: a folder or a manifest; for a sequence network video clips or "
            "recordings.",
        ),
    ] = None,
    model: Model = "keypoint-fusion",
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Where the report goes.")
    ] = Path("evaluation"),
    format: Format = None,
    splits: Splits = None,
    root: Root = None,
    labels: Labels = None,
    images: Images = None,
    group_pattern: GroupPattern = None,
    split: Split = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against", help="Another model for a McNemar test; may be given several times."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar="FILE",
            dir_okay=False,
            help="Instead of DATA: a predictions .npz, or a CSV of path,label,p:LABEL...",
        ),
    ] = None,
    verdict: Annotated[
        Literal["auto", "photo", "person"],
        typer.Option(
            "--verdict",
            help="Judge photos, or the person in each sample's box; auto: what there is.",
        ),
    ] = "auto",
    only_known: OnlyKnown = False,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    limit: Limit = None,
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    every: Annotated[
        int | None,
        typer.Option(min=1, help="Of a video, look at every N-th frame; about 15 a second."),
    ] = None,
    jobs: Jobs = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the evaluation as JSON instead of tables.")
    ] = False,
) -> None:
    """Judge a model on labelled photos: figures with confidence intervals, tables and pictures.

    Writes evaluation.json, predictions, a per-class table, the confusion matrix, reliability,
    coverage, ROC and precision-recall curves, subgroups and the worst mistakes into --out. The
    exit status is 0 when all went well, 1 when a photo could not be read, and 2 for a wrong
    option.
    """
    if (data is None) == (predictions is None):
        raise typer.BadParameter("give either DATA or --predictions FILE")
    if predictions is not None and against:
        raise typer.BadParameter("--against needs DATA: other models are run on it")
    given = reading(root, labels, images, group_pattern)
    messages = console(stderr=True)
    failures = Failures(messages)
    with one_line_errors():
        from keyact import evaluate as judging
        from keyact.action.clips import is_sequence_network

        others: list[judging.Predictions] = []
        if predictions is not None:
            for name in ("predictions.npz", "predictions.csv"):
                spare([predictions], {"--out": out / name})
            found, split = judging.load_predictions(predictions), None
        elif is_sequence_network(model):
            wanted = _Wanted(
                str(data),
                format,
                splits,
                given,
                split,
                limit,
                only_known,
                detector,
                pose,
                every,
                jobs,
            )
            with bars(messages) as progress:
                split, (found, *others) = _on_sequences(
                    [model, *(against or ())], wanted, failures, progress
                )
        else:
            import os

            from keyact import action
            from keyact.data.people import find_people

            jobs = jobs or os.cpu_count() or 1
            threads = 1 if jobs > 1 else None
            models = [action.load(name, threads=threads) for name in (model, *(against or ()))]
            dataset, split = labelled(
                str(data), format, splits, split, limit, seed, messages, **given
            )
            made: list[judging.Predictions] = []
            with bars(messages) as progress:
                for one in models:
                    people = find_people(
                        judging.photos_of(dataset), detector=detector, pose=pose, jobs=jobs
                    )
                    made.append(
                        judging.predict_dataset(
                            one,
                            dataset,
                            people,
                            verdict=verdict,
                            only_known=only_known,
                            on_error="skip" if made else failures,
                            progress=progress(one.name),
                            jobs=jobs,
                        )
                    )
            found, others = made[0], made[1:]
        with messages.status("bootstrap and pictures"):
            report = judging.evaluate(
                found, against=others, split=split, resamples=resamples, seed=seed
            )
            judging.save_evaluation(out, report, found)
        if as_json:
            typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
        else:
            _print(report)
        messages.print(f"Wrote {out / 'evaluation.json'} and its pictures", markup=False)
        if failures.count:
            raise typer.Exit(FAILED)


class _Wanted(NamedTuple):
    data: str
    format: str | None
    splits: Path | None
    reading: dict[str, Any]
    split: str | None
    limit: int | None
    only_known: bool
    detector: str
    pose: str
    every: int | None
    jobs: int | None


def _on_sequences(
    names: list[str], wanted: _Wanted, failures: Failures, progress: ProgressOf
) -> tuple[str | None, list[Predictions]]:
    """What sequence networks say of clips or recordings, and the split that these are of."""
    from keyact.action.clips import ClipModel
    from keyact.data.kinds import kind_of
    from keyact.evaluate.sequences import of_split, predict_sequences
    from keyact.sequences import load_sequences
    from keyact.sequences.load import refuse_splits

    models = [ClipModel(name) for name in names]
    if kind_of(wanted.data, wanted.format) == "videos":
        return _on_clips(models, wanted, failures, progress)

    refuse_splits(wanted.splits)

    def left_out(message: str) -> None:
        failures(str(wanted.data), InputError(message))

    found = load_sequences(wanted.data, wanted.format, report=left_out)
    recordings, split = of_split(found, wanted.split)
    made = [
        predict_sequences(
            one,
            _some(recordings, wanted.limit),
            only_known=wanted.only_known,
            on_error=failures,
            progress=progress(one.name),
            dataset=Path(wanted.data).name,
        )
        for one in models
    ]
    return split, made


def _on_clips(
    models: list[ClipModel], wanted: _Wanted, failures: Failures, progress: ProgressOf
) -> tuple[str | None, list[Predictions]]:
    from keyact.data import load_dataset
    from keyact.data.recordings import load_recordings
    from keyact.evaluate.sequences import of_split, predict_sequences

    dataset = load_dataset(
        wanted.data, wanted.format, splits=wanted.splits, **wanted.reading
    ).labelled()
    samples, split = of_split(dataset.samples, wanted.split)
    clips = replace(dataset, samples=tuple(_some(samples, wanted.limit)))
    made: list[Predictions] = []
    for one in models:
        recordings = load_recordings(
            clips,
            detector=wanted.detector,
            pose=wanted.pose,
            every=wanted.every,
            people=one.features.people,
            eyes=one.windows.eyes,
            jobs=wanted.jobs,
            # What cannot be read is said once, not for each model.
            on_error=(lambda source, error: None) if made else failures,
            progress=progress("following people"),
        )
        judged = predict_sequences(
            one,
            recordings,
            only_known=wanted.only_known,
            on_error=failures,
            progress=progress(one.name),
            dataset=dataset.name,
        )
        made.append(judged)
    return split, made


def _some(items: list[T], limit: int | None) -> list[T]:
    """At most so many, evenly from all."""
    step = 1 if limit is None else max(1, len(items) // limit)
    return items[::step][:limit]


def _print(report: Evaluation) -> None:
    where = " ".join(filter(None, (report.dataset, report.split)))
    out = console()
    out.print(f"{report.model} on {where}, {report.rows} rows", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("Figure")
    for column in ("Value", f"{report.level:.0%} interval"):
        table.add_column(column, justify="right")
    for name, figure in report.metrics.items():
        interval = f"{figure.low:.3f} – {figure.high:.3f}" if report.resamples else ""
        table.add_row(_SPOKEN[name], f"{figure.value:.4f}", interval)
    if report.named.accuracy is not None and report.named.threshold > 0:
        table.add_row("gets a name", f"{report.named.share:.4f}")
        table.add_row("right of those", f"{report.named.accuracy:.4f}")
    out.print(table)
    for name, parts in report.subgroups.items():
        listed = ", ".join(f"{part.name} {part.accuracy:.1%} (n={part.rows})" for part in parts)
        out.print(f"{name}: {listed}", markup=False, soft_wrap=True)
    mistakes = sorted(
        (
            (count, report.labels[row], report.labels[column])
            for row, counts in enumerate(report.confusion)
            for column, count in enumerate(counts)
            if row != column and count
        ),
        reverse=True,
    )
    listed = ", ".join(f"{true} as {called} {n}×" for n, true, called in mistakes[:_MISTAKEN])
    out.print(f"most mistaken: {listed or 'nothing'}", markup=False, soft_wrap=True)
    for test in report.comparisons:
        out.print(
            f"against {test.other} ({test.other_top1:.4f}): {test.gained} right only here, "
            f"{test.lost} only there, McNemar p = {test.p:.3g}",
            markup=False,
            soft_wrap=True,
        )
