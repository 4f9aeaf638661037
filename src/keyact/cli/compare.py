"""``keyact compare``: models side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from keyact.cli.judging import (
    Failures,
    Format,
    Jobs,
    Limit,
    OnlyKnown,
    Resamples,
    Seed,
    Split,
    Splits,
    bars,
    labelled,
)
from keyact.cli.options import Detector, GroupPattern, Images, Labels, Pose, Root, reading
from keyact.cli.terminal import FAILED, complain, console, one_line_errors
from keyact.errors import KeyactError

if TYPE_CHECKING:
    from keyact.evaluate.comparison_report import Compared
    from keyact.evaluate.robustness_report import Robustness


def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Names of `keyact models`, or .onnx files."),
    ],
    data: Annotated[
        str,
        typer.Option("--data", metavar="DATA", help="Labelled photos: a folder or a manifest."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Where the report goes.")
    ] = Path("comparison"),
    format: Format = None,
    splits: Splits = None,
    root: Root = None,
    labels: Labels = None,
    images: Images = None,
    group_pattern: GroupPattern = None,
    split: Split = None,
    robust: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Run the 15 corruptions too; takes 75 times as long per severity."
        ),
    ] = False,
    severities: Annotated[
        list[int] | None,
        typer.Option("--severity", min=1, max=5, help="Of --robustness; all five without it."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Of each latency.")] = 60,
    only_known: OnlyKnown = False,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    limit: Limit = None,
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    jobs: Jobs = None,
) -> None:
    """Compare models on the same photos: accuracy, calibration, size, speed and memory.

    The first model is what the others are tested against (McNemar). What was measured is kept in
    --out, so that a stopped run goes on there and a further model costs only itself. Writes
    comparison.csv, comparison.md and pareto.png. A model that cannot be measured is reported and
    left out; the exit status is then 1.
    """
    messages = console(stderr=True)
    failures = Failures(messages)
    missing: list[str] = []

    def left_out(name: str, error: KeyactError) -> None:
        missing.append(name)
        complain(f"{name}: {error}", messages)

    with one_line_errors():
        from keyact.evaluate.comparison import compare as measure
        from keyact.evaluate.comparison_report import save_comparison
        from keyact.evaluate.perturbations import CORRUPTIONS
        from keyact.evaluate.robustness import measure_robustness

        dataset, _ = labelled(
            data,
            format,
            splits,
            split,
            limit,
            seed,
            messages,
            **reading(root, labels, images, group_pattern),
        )
        with bars(messages) as progress:

            def bear(model: str) -> Robustness:
                return measure_robustness(
                    model,
                    dataset,
                    out / "cache",
                    perturbations=CORRUPTIONS,
                    severities=severities or (1, 2, 3, 4, 5),
                    detector=detector,
                    pose=pose,
                    seed=seed,
                    jobs=jobs,
                    only_known=only_known,
                    progress=progress,
                )

            table = measure(
                models,
                dataset,
                out / "cache",
                detector=detector,
                pose=pose,
                robustness=bear if robust else None,
                resamples=resamples,
                runs=runs,
                seed=seed,
                jobs=jobs,
                only_known=only_known,
                on_photo_error=failures,
                on_model_error=left_out,
                progress=progress,
            )
        save_comparison(out, table)
        _print(table)
        messages.print(f"Wrote {out / 'comparison.csv'}, .md and pareto.png", markup=False)
        if missing or failures.count:
            raise typer.Exit(FAILED)


def _print(table: list[Compared]) -> None:
    """What fits a terminal; the files have all."""
    columns: dict[str, Callable[[Compared], str]] = {
        "Top-1": lambda row: f"{row.top1:.4f}",
        "Interval": lambda row: f"{row.top1_low:.3f}–{row.top1_high:.3f}",
        "ECE": lambda row: f"{row.ece:.4f}",
        "p": lambda row: "" if row.p_vs_first is None else f"{row.p_vs_first:.2g}",
        "Corrupted": lambda row: (
            "" if row.corruption_accuracy is None else f"{row.corruption_accuracy:.4f}"
        ),
        "Params": lambda row: f"{row.parameters / 1e6:.2f} M",
        "MB": lambda row: f"{row.bytes / 1e6:.1f}",
        "ms": lambda row: f"{row.ms_1_p50:.1f}",
    }
    cells = {name: [make(row) for row in table] for name, make in columns.items()}
    shown = Table(box=None, pad_edge=False)
    shown.add_column("Model", overflow="fold")
    for name, column in cells.items():
        if any(column):
            shown.add_column(name, justify="right", no_wrap=True)
    for i, row in enumerate(table):
        shown.add_row(Text(row.model), *(column[i] for column in cells.values() if any(column)))
    console().print(shown)
