"""``keyact robustness``: what worse photos and worse key points do to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from keyact.cli.judging import (
    Data,
    Failures,
    Format,
    Jobs,
    Limit,
    OnlyKnown,
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

if TYPE_CHECKING:
    from keyact.evaluate.robustness_report import Robustness


def robustness(
    data: Data,
    model: Model = "keypoint-fusion",
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Where the report goes.")
    ] = Path("robustness"),
    format: Format = None,
    splits: Splits = None,
    root: Root = None,
    labels: Labels = None,
    images: Images = None,
    group_pattern: GroupPattern = None,
    split: Split = None,
    perturbations: Annotated[
        list[str] | None,
        typer.Option(
            "--perturbation",
            help="Take this one only; may be given several times. The 15 ImageNet-C corruptions, "
            "occlusion, joint_jitter, joint_dropout, left_right_swap, wrong_person.",
        ),
    ] = None,
    severities: Annotated[
        list[int] | None,
        typer.Option("--severity", min=1, max=5, help="Take this one only; all five without it."),
    ] = None,
    keep_keypoints: Annotated[
        bool,
        typer.Option(
            "--keep-keypoints",
            help="Take people and key points of the clean photo, not found anew.",
        ),
    ] = False,
    size: Annotated[
        int,
        typer.Option(
            "--size",
            min=0,
            help="Shorter side that larger photos are scaled down to, as the corruptions are made "
            "for it; 0 leaves them.",
        ),
    ] = 224,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="FILE",
            dir_okay=False,
            help="Another model's robustness.json: gives the mean corruption error against it.",
        ),
    ] = None,
    only_known: OnlyKnown = False,
    seed: Seed = 0,
    limit: Limit = None,
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    jobs: Jobs = None,
) -> None:
    """Run a model on photos with noise, blur, weather, occlusion and wrong key points.

    The people are found anew in every changed photo. Each condition is kept in --out as soon as
    it is complete, so that a stopped run goes on there. Writes robustness.csv, .json and .png.
    The exit status is 0 when all went well, 1 when a photo could not be read, and 2 for a wrong
    option.
    """
    messages = console(stderr=True)
    failures = Failures(messages)
    with one_line_errors():
        from keyact.evaluate.robustness import measure_robustness
        from keyact.evaluate.robustness_report import Robustness, save_robustness

        other = None if baseline is None else Robustness.load(baseline)
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
            found = measure_robustness(
                model,
                dataset,
                out / "cache",
                perturbations=perturbations,
                severities=severities or (1, 2, 3, 4, 5),
                detector=detector,
                pose=pose,
                keep_keypoints=keep_keypoints,
                size=size or None,
                seed=seed,
                jobs=jobs,
                only_known=only_known,
                on_error=failures,
                progress=progress,
            )
        save_robustness(out, found)
        _print(found, other)
        messages.print(f"Wrote {out / 'robustness.json'}, .csv and .png", markup=False)
        if failures.count:
            raise typer.Exit(FAILED)


def _print(found: Robustness, other: Robustness | None) -> None:
    severities = sorted({row.severity for row in found.conditions})
    out = console()
    out.print(
        f"{found.model} on {found.dataset}, {found.clean.photos} photos: top-1 by severity, clean "
        f"{found.clean.top1:.1%}",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("Perturbation")
    for column in (*(f"{severity}" for severity in severities), "Mean"):
        table.add_column(column, justify="right")
    for name in dict.fromkeys(row.perturbation for row in found.conditions):
        rows = [row.top1 for row in found.conditions if row.perturbation == name]
        cells = (*(f"{value:.1%}" for value in rows), f"{sum(rows) / len(rows):.1%}")
        table.add_row(name.replace("_", " "), *cells)
    out.print(table)
    for family, spoken in (
        ("corruption", "mean corruption accuracy"),
        ("occlusion", "occlusion"),
        ("keypoints", "key point noise"),
    ):
        mean, relative = found.accuracy(family), found.relative(family)  # type: ignore[arg-type]
        if mean is not None and relative is not None:
            out.print(f"{spoken}: {mean:.4f}, {relative:.1%} of clean")
    if other is not None:
        error = found.corruption_error(other)
        out.print(f"mCE against {other.model}: {error:.4f} (below 1: more robust)", markup=False)
