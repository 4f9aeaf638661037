"""``keyact alphapose``: make AlphaPose's checkpoints usable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from keyact.cli.terminal import console, one_line_errors

app = typer.Typer(
    help="Use AlphaPose's FastPose networks.", no_args_is_help=True, add_completion=False
)


@app.callback()
def _group() -> None:
    """Use AlphaPose's FastPose networks (their weights are for non-commercial use only)."""


@app.command()
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="A FastPose checkpoint of AlphaPose, .pth.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")] = Path(
        "fastpose.onnx"
    ),
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            help="heatmap, regression (LOSS TYPE L1JointRegression in the network's "
            "configuration) or combined (Combined): the tensors do not tell. For 17 and 26 joints "
            "heatmap when not given, as in AlphaPose's published networks; for more joints there "
            "are all, so it must be given.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            help="Skeleton of the joints; by their number when not given: 17 coco17, 26 halpe26, "
            "68 halpe68, 133 coco133, 136 halpe136.",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option("--input", help="Height x width of the crops, multiples of 32."),
    ] = "256x192",
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the network in `keyact models`."),
    ] = None,
) -> None:
    """Convert a checkpoint to ONNX. This needs the extra torch; the result does not.

    Depth, width and number of joints are read from the checkpoint; every tensor must be there and
    have its place. The weights stay yours, under the licence you have them by.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if not found:
        raise typer.BadParameter(f"{size!r} is not HEIGHTxWIDTH, such as 256x192")
    with one_line_errors():
        from keyact.pose.alphapose.export import convert as run

        made = run(
            checkpoint,
            output,
            head=head,
            layout=layout,
            input_size=(int(found[1]), int(found[2])),
            name=name,
        )
        out = console()
        for line in (
            f"{output}: {made.architecture.name}, "
            f"{made.architecture.joints} joints ({made.layout}), {made.head} head, input {size}, "
            f"{made.bytes / 1e6:.1f} MB",
            f"Use it: keyact predict PHOTO --pose alphapose:{output}",
        ):
            out.print(line, markup=False, soft_wrap=True)
