"""``keyact pose-eval``: which pose backend suits these photos?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from keyact.errors import InputError, KeyactError, UnknownNameError, told_of
from keyact.replacing import part_of, replacing, same_place, spare

if TYPE_CHECKING:
    from keyact.pose.annotations import AnnotatedPhoto
    from keyact.pose.base import PoseEstimator
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
    are judged, all on the same photos: those that are there, can be read and have the size that
    was annotated. This needs the extra pose-eval. The exit status is 0 when all went well, 1 when
    something was left out, and 2 for a wrong option.
    """
    if json_to == csv_to == STDOUT:
        raise typer.BadParameter("--json and --csv cannot both write to stdout")
    if json_to and csv_to and same_place(json_to) == same_place(csv_to):
        raise typer.BadParameter(f"--json and --csv are the same file, {csv_to}")
    messages = console(stderr=True)
    with one_line_errors():
        from keyact import detect
        from keyact.backends import optional_import
        from keyact.pose.annotations import read_photos
        from keyact.pose.evaluation import evaluate

        optional_import("pycocotools.cocoeval", "pose-eval")
        pin_opencv(threads)  # the crops are part of the time per person
        left_out: list[str] = []
        try:
            photos = read_photos(annotations, images, left_out.append)
        finally:  # they are the reason when not one photo is left
            complain_of_many(left_out, messages, rest=" left out")
        _tell_estimated(photos, messages)
        finder = None if detector is None else detect.load(detector, threads=threads)
        names = list(dict.fromkeys(poses or ["fastpose-m"]))
        options = {"flip_test": flip_test, "threads": threads}
        estimators = _load(names, options, messages)
        _check({"--json": json_to, "--csv": csv_to}, [annotations, *(p.path for p in photos)])
        reports: list[PoseReport] = []
        rows: list[dict[str, object]] = []
        for name, estimator in estimators.items():
            unusable: dict[AnnotatedPhoto, InputError] = {}
            try:
                report = evaluate(
                    estimator,
                    photos,
                    finder,
                    name=name,
                    detector_name=detector,
                    runs=runs,
                    progress=partial(_shown, name=name, messages=messages),
                    on_photo_error=unusable.__setitem__,
                )
                reports.append(report)
                rows.append({**report.row(), **_heeded(estimator, options)})
            except KeyactError as error:
                complain(f"{name}: {error}", messages)
            told = [told_of(str(photo.path), error) for photo, error in unusable.items()]
            complain_of_many(told, messages, rest=" left out")
            left_out += told
            # The first backend that comes to the end has met them all, so each is told once.
            photos = [photo for photo in photos if photo not in unusable]
            if not any(len(photo.boxes) for photo in photos):
                raise InputError(f"{annotations}: no photo that can be used has a person to judge")
        if not reports:
            raise typer.Exit(FAILED)
        out = messages if STDOUT in (json_to, csv_to) else console()
        try:
            out.print(_table(reports))
            out.print(_joints(reports))
        finally:  # also when whoever reads the table has gone
            _write(json_to, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
            _write(csv_to, _csv(rows))
        if left_out or len(reports) < len(names):
            raise typer.Exit(FAILED)


def _tell_estimated(photos: Sequence[AnnotatedPhoto], messages: Console) -> None:
    from keyact.pose.annotations import AREA_OF_BOX

    estimated = sum(photo.estimated for photo in photos)
    if estimated:
        messages.print(
            f"{estimated} of {sum(len(photo.boxes) for photo in photos)} people have no area above "
            f"0, which OKS and AP need: {AREA_OF_BOX} of their box is taken instead",
            soft_wrap=True,
        )


def _load(
    names: Sequence[str], options: Mapping[str, Any], messages: Console
) -> dict[str, PoseEstimator]:
    """The backends that can be loaded; the others are reported, and options that change nothing.

    Raises
    ------
    UnknownNameError : a slip of the finger, to be found before the work.
    """
    from keyact import pose

    estimators: dict[str, PoseEstimator] = {}
    for name in names:
        try:
            estimators[name] = pose.load(name, **options)
        except UnknownNameError:
            raise
        except KeyactError as error:
            complain(f"{name}: {error}", messages)
            continue
        heeded = _heeded(estimators[name], options)
        for option, value in options.items():
            if value and heeded[option] is None:
                messages.print(
                    f"{name}: --{option.replace('_', '-')} changes nothing there; its "
                    f"{option} is left empty",
                    markup=False,
                    soft_wrap=True,
                )
    return estimators


def _heeded(estimator: PoseEstimator, options: Mapping[str, object]) -> dict[str, object]:
    """The options as the backend was run with them: None where it has no such thing."""
    ignored = getattr(estimator, "ignores", ())
    return {name: None if name in ignored else value for name, value in options.items()}


def _check(outputs: Mapping[str, str | None], read: Sequence[Path]) -> None:
    """Refuse what could not be written after the work, or would cost a file that is read."""
    files = {option: file for option, file in outputs.items() if file not in (None, STDOUT)}
    spare(read, files)
    for file in map(Path, filter(None, files.values())):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise KeyactError(f"{file}: is a folder; give the name of a file")
            part_of(file).touch()
            part_of(file).unlink()
        except OSError as error:
            reason = error.strerror or error
            raise KeyactError(f"{file}: cannot be written: {reason}") from None


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
