"""``keyact data``: check and split labelled photo sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from keyact.cli.options import Detector, GroupPattern, Images, Labels, Pose, Root, reading
from keyact.cli.terminal import FAILED, complain_of_many, console, one_line_errors
from keyact.replacing import replacing, spare

if TYPE_CHECKING:
    from keyact.data import Dataset
    from keyact.data.check import Report

app = typer.Typer(
    help="Check and split labelled photos and clips.", no_args_is_help=True, add_completion=False
)

MAX_ROWS = 60

Source = Annotated[
    Path, typer.Argument(metavar="DIR", help="The data set: its folder, or the file that lists it.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="class-folders, manifest, kaggle-har, stanford40, coco-actions or video-folders; "
        "told by the files' names when not given.",
    ),
]


@app.callback()
def _group() -> None:
    """Check and split labelled photos and clips."""


@app.command()
def check(
    source: Source,
    format: Format = None,
    json_to: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the whole report; - for stdout."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write a contact sheet, .png or .jpg."),
    ] = None,
    people: Annotated[
        bool, typer.Option("--people", help="Look for people too; they are kept in the cache.")
    ] = False,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Look for photos that look alike.")
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail as errors do.")] = False,
    splits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check with the splits of this file.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Files at once; one per core when not given.")
    ] = None,
    detector: Detector = "persondet-m",
    pose: Pose = "fastpose-m",
    root: Root = None,
    labels: Labels = None,
    images: Images = None,
    group_pattern: GroupPattern = None,
) -> None:
    """Report what a data set holds and what is wrong with it.

    Counts per label and split, files that cannot be read, copies and photos that look alike
    within and across the splits, groups on two sides, imbalance, sizes and, if you like, people.
    The exit status is 0 when nothing is wrong, 1 when something is, and 2 for a wrong option.
    """
    with one_line_errors():
        from keyact.data import load_dataset
        from keyact.data.check import check as run
        from keyact.data.sheet import ContactSheet, picture_format

        if sheet is not None:
            picture_format(sheet)  # before the long part
        dataset = load_dataset(source, format, **reading(root, labels, images, group_pattern))
        if splits is not None:
            from keyact.data.splits import read_split

            dataset = read_split(dataset, splits, refuse=False)
        spare(
            [source, *(sample.path for sample in dataset.samples), *([splits] if splits else [])],
            {"--sheet": sheet, "--json": None if json_to == "-" else json_to},
        )
        pictures = ContactSheet(dataset) if sheet is not None else None
        report = run(
            dataset,
            near=near,
            people=people,
            jobs=jobs,
            progress=True,
            keep=pictures.keep if pictures else None,
            **({"detector": detector, "pose": pose} if people else {}),
        )
        if pictures is not None and sheet is not None:
            pictures.save(sheet, report)
        if json_to is not None:
            _write_json(json_to, report)
        _print(dataset, report, to_stderr=json_to == "-")
        if report.errors or (strict and report.warnings):
            raise typer.Exit(FAILED)


@app.command()
def split(
    source: Source,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Folder for the files.")
    ] = Path("splits"),
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="stratified, grouped, k-fold, leave-one-group-out or official; grouped when not "
            "given and there are groups, else stratified.",
        ),
    ] = "",
    k: Annotated[int, typer.Option("--k", min=2, help="k-fold: how many folds.")] = 5,
    val: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share to choose models on.")] = 0.15,
    test: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share to test on.")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 0,
    drop_leaks: Annotated[
        bool,
        typer.Option(
            "--drop-leaks",
            help="official: take what is also tested on, or chosen by, out of the training part.",
        ),
    ] = False,
    format: Format = None,
    root: Root = None,
    labels: Labels = None,
    images: Images = None,
    group_pattern: GroupPattern = None,
) -> None:
    """Split a data set into train, val and test, once or in folds, as files.

    Copies of a photo and samples of a group stay on one side. Use a file with --splits, or as a
    manifest of its own with --root DIR.
    """
    with one_line_errors():
        from keyact.data import load_dataset, splits
        from keyact.data.base import SPLITS

        dataset = load_dataset(source, format, **reading(root, labels, images, group_pattern))
        before = len(dataset.problems)
        if drop_leaks:
            if method not in ("", "official"):
                raise typer.BadParameter("--drop-leaks is for --method official")
            method, dataset = "official", splits.drop_leaks(dataset)
        if not method:
            grouped = any(sample.group is not None for sample in dataset.samples)
            method = "grouped" if grouped else "stratified"
        folds = splits.make_splits(dataset, method, k=k, val=val, test=test, seed=seed)
        for name in splits.file_names(len(folds)):
            spare([source], {"--out": out / name})
        paths = splits.save_splits(folds, out)
        _tell_problems(dataset.problems[before:], "")
        table = Table("File", "Train", "Val", "Test", box=None)
        for path, fold in zip(paths, folds, strict=True):
            counts = [sum(s.split == name for s in fold.samples) for name in SPLITS]
            table.add_row(Text(str(path)), *map(str, counts))
        console().print(table)


def _write_json(target: str, report: Report) -> None:
    text = json.dumps(report.to_json_dict(), indent=2, ensure_ascii=False)
    if target == "-":
        typer.echo(text)
        return
    with replacing(target) as part:
        part.write_text(f"{text}\n", "utf-8")


def _print(dataset: Dataset, report: Report, *, to_stderr: bool) -> None:
    out = console(stderr=to_stderr)
    facts = report.facts
    columns = list(next(iter(report.counts.values()), {}))
    table = Table("Label", *(name.title() for name in columns), "All", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, row in list(report.counts.items())[:MAX_ROWS]:
        table.add_row(Text(label), *map(str, row.values()), str(sum(row.values())))
    if columns:
        out.print(table)
    lines = [
        f"{facts['samples']} {facts['kind']} of {len(report.counts)} labels ({facts['format']})"
    ]
    if len(report.counts) > MAX_ROWS:
        lines.append(f"... and {len(report.counts) - MAX_ROWS} more labels; --json has all")
    if facts["unlabelled"]:
        lines.append(f"{facts['unlabelled']} have no label")
    if facts["sizes"]:
        sides = (f"{n} {v['min']} to {v['max']}" for n, v in facts["sizes"].items())
        lines.append(f"{' and '.join(sides)} pixels")
    if facts["near_duplicates"] is not None:
        lines.append(f"pairs of photos that look alike: {len(facts['near_duplicates'])}")
    if "people" in facts:
        found = facts["people"]["photos"]
        lines.append(
            f"photos with one person: {found.get('one', 0)}, with several: "
            f"{found.get('several', 0)}, with nobody: {found.get('nobody', 0)}"
        )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    _tell_problems(report.errors, "error: ")
    _tell_problems(report.warnings, "warning: ")
    if not report.errors:
        out.print("nothing is wrong" if not report.warnings else "no errors", markup=False)


def _tell_problems(lines: Any, start: str) -> None:
    complain_of_many(lines, console(stderr=True), start, "; --json FILE has all")
