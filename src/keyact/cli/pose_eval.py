"""``keyact pose-eval``: which pose backend suits these photos?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from keyact.cli.options import FlipTest, Threads
from keyact.cli.run import STDOUT
from keyact.cli.terminal import (
    FAILED,
    complain,
    complain_of_many,
    console,
    one_line_errors,
    pin_opencv,
)
from keyact.errors import KeyactError, UnknownNameError
from keyact.replacing import replacing

if TYPE_CHECKING:
    from keyact.pose.annotations import AnnotatedPhoto
    from keyact.pose.evaluation import PoseReport


def pose_eval(
    annotations: Annotated[
        Path,
        typer.Option("--ann", metavar="FILE", help="COCO key point annotations, 17 joints."),
    ],
    images: Annotated[
        Path,
        typer.Option(
            "--images", metavar="DIR", help="Folder of the photos, searched with its subfolders."
        ),
    ],
    poses: Annotated[
        list[str] | None,
        typer.Option(
            "--pose",
            help="Pose backend as for `keyact pose`; give it again to compare several. "
            "fastpose-m when not given.",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="Person detector as for `keyact pose`; the annotated boxes when not given.",
        ),
    ] = None,
    json_to: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - for stdout.")
    ] = None,
    csv_to: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write CSV, one row per backend; - for stdout."),
    ] = None,
    threads: Threads = None,
    flip_test: FlipTest = False,
    runs: Annotated[int, typer.Option(min=1, help="Time each photo this often.")] = 1,
) -> None:
    """Compare pose backends on photos with annotated key points.

    COCO's average precision and OKS, the share of joints within a tenth and a fifth of the box
    (PCK), and milliseconds per person. A backend that cannot be loaded is reported and the others
    are judged. This needs the extra pose-eval. The exit status is 0 when all went well, 1 when
    something was left out, and 2 for a wrong option.
    """
    if json_to == csv_to == STDOUT:
        raise typer.BadParameter("--json and --csv cannot both write to stdout")
    messages = console(stderr=True)
    with one_line_errors():
        from keyact import detect, pose
        from keyact.backends import optional_import
        from keyact.pose.annotations import read_photos
        from keyact.pose.evaluation import evaluate

        optional_import("pycocotools.cocoeval", "pose-eval")
        pin_opencv(threads)  # the crops are part of the time per person
        missing: list[str] = []
        photos = read_photos(annotations, images, missing.append)
        complain_of_many(missing, messages, rest=" photos are not there")
        finder = None if detector is None else detect.load(detector, threads=threads)
        estimators = {}
        for name in poses or ["fastpose-m"]:
            try:
                estimators[name] = pose.load(name, threads=threads, flip_test=flip_test)
            except UnknownNameError:  # a slip of the finger, found before the work
                raise
            except KeyactError as error:
                complain(f"{name}: {error}", messages)
        reports = []
        for name, estimator in estimators.items():
            try:
                reports.append(
                    evaluate(
                        estimator,
                        photos,
                        finder,
                        name=name,
                        detector_name=detector,
                        runs=runs,
                        progress=partial(_shown, name=name, messages=messages),
                    )
                )
            except KeyactError as error:
                complain(f"{name}: {error}", messages)
        if not reports:
            raise typer.Exit(FAILED)
        rows = [{**report.row(), "flip_test": flip_test, "threads": threads} for report in reports]
        _write(json_to, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        _write(csv_to, _csv(rows))
        out = messages if STDOUT in (json_to, csv_to) else console()
        out.print(_table(reports))
        out.print(_joints(reports))
        if missing or len(reports) < len(poses or [""]):
            raise typer.Exit(FAILED)


def _shown(
    photos: Sequence[AnnotatedPhoto], name: str, messages: Console
) -> Iterable[AnnotatedPhoto]:
    return track(
        photos,
        description=name,
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )


def _csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(target: str | None, text: str) -> None:
    """Write a file in one go, or to standard output."""
    if target is None:
        return
    if target == STDOUT:
        typer.echo(text, nl=False)
        return
    with replacing(target) as part:
        part.write_text(text, "utf-8")


def _table(reports: Sequence[PoseReport]) -> Table:
    first = reports[0]
    table = Table(
        title=f"{first.people} people in {first.photos} photos, {first.detector}; ms per person",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("Pose", overflow="fold", min_width=12)
    shares = ("AP", "AP50", "AP75", "AR", "OKS", *(f"PCK@{at:g}" for at in first.pck))
    for column in ("Found", *shares, "ms"):
        table.add_column(column, justify="right")
    for report in reports:
        values = (report.ap, report.ap50, report.ap75, report.ar, report.oks, *report.pck.values())
        time = "" if report.ms_per_person is None else f"{report.ms_per_person:.1f}"
        table.add_row(_short(report.pose), str(report.found), *map(_share, values), time)
    return table


def _joints(reports: Sequence[PoseReport]) -> Table:
    table = Table(title="\nOKS by joint", title_justify="left", box=None, pad_edge=False)
    table.add_column("Joint")
    for report in reports:
        table.add_column(_short(report.pose), justify="right", overflow="fold")
    for joint in reports[0].joint_oks:
        table.add_row(joint, *(_share(report.joint_oks[joint]) for report in reports))
    return table


def _short(name: str) -> Text:
    """The name of a backend with its file's, without the folders."""
    backend, colon, file = name.rpartition(":")
    return Text(f"{backend}{colon}{Path(file).name}", overflow="fold")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
