"""Options that several subcommands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Model: TypeAlias = Annotated[
    str, typer.Option("--model", help="Action model: a name of `keyact models` or an .onnx file.")
]
Pose: TypeAlias = Annotated[
    str, typer.Option("--pose", help="Pose backend: a name of `keyact models` or an .onnx file.")
]
Detector: TypeAlias = Annotated[
    str,
    typer.Option(
        "--detector",
        help="Person detector: a name of `keyact models`, an .onnx file, or whole-image for "
        "pictures that are cropped to one person.",
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; every core when not given."),
]
