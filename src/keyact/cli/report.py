"""``keyact report``: results as a report to read, print or pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keyact.cli.terminal import console, one_line_errors


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Folders of results: of a run, an evaluation, a comparison, or several; or "
            "single .csv and .json files.",
        ),
    ],
    out: Annotated[
        list[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            dir_okay=False,
            help="report.html, .pdf or .md; may be given several times.",
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="FILE",
            dir_okay=False,
            help="A text of your own: Markdown in which figures are looked up, as in "
            "{{ figure('evaluation', 'metrics', 'top1', 'value') | percent }}.",
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            metavar="FILE.bib",
            dir_okay=False,
            help="BibTeX file of the works that the text cites, as @key in square brackets.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Of the report.")] = None,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos/--no-photos",
            help="Whether sheets of photos are shown, such as the worst mistakes.",
        ),
    ] = True,
    typed_numbers: Annotated[
        bool,
        typer.Option("--typed-numbers", help="Let numbers pass that were typed into --text."),
    ] = False,
) -> None:
    """Make a report of results: tables, pictures and text, every figure read from a file.

    A part that was not measured says so, with the command that measures it. The exit status is 0
    when all was written, 1 when a source cannot be used or lacks a figure that the text asks for,
    and 2 for a wrong option.
    """
    messages = console(stderr=True)
    with one_line_errors():
        from keyact import report as reports
        from keyact.report.write import writer

        for target in out:
            writer(target)  # before the work: is there such a format, and what it needs?
        results = reports.Results.read(sources)
        works = None if references is None else reports.Bibliography.read(references)
        with messages.status("tables and pictures"):
            made = reports.compose(
                results,
                text=text,
                works=works,
                title=title or _title(sources),
                photos=photos,
                typed_numbers=typed_numbers,
            )
            for target in out:
                reports.write_report(made, target)
        messages.print(f"Wrote {', '.join(map(str, out))}", markup=False, soft_wrap=True)


def _title(sources: list[Path]) -> str:
    return f"Report on {', '.join(source.resolve().stem for source in sources)}"
