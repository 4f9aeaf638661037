"""Options that several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

Paths: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Photos, videos, folders or glob patterns."),
]
Model: TypeAlias = Annotated[
    str, typer.Option("--model", help="Action model: a name of `keyact models` or an .onnx file.")
]
Pose: TypeAlias = Annotated[
    str,
    typer.Option(
        "--pose",
        help="Pose backend: a name of `keyact models`, an .onnx file, or NAME:FILE such as "
        "mediapipe:pose.task.",
    ),
]
Detector: TypeAlias = Annotated[
    str,
    typer.Option(
        "--detector",
        help="Person detector: a name of `keyact models`, an .onnx file, NAME:FILE such as "
        "boxes:people.json, or whole-image for pictures that are cropped to one person.",
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; every core when not given."),
]
JsonTo: TypeAlias = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write JSON Lines, one per frame; - for stdout."),
]
AlphaPoseTo: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--save-alphapose",
        metavar="FILE",
        help="Write the people as AlphaPose's JSON: all into one .json file, or a file for each "
        "photo into a folder, as its sep-json.",
    ),
]
AlphaPoseForm: TypeAlias = Annotated[
    Literal["default", "cmu", "open"],
    typer.Option(
        "--alphapose-format",
        help="Form of --save-alphapose, as AlphaPose's --format; cmu and "
        "open have 18 joints and no boxes.",
    ),
]
Save: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--save", metavar="DIR", file_okay=False, help="Save annotated photos and clips here."
    ),
]
MinConfidence: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, help="Call an action unknown below this; the model's own by default."
    ),
]
MaxPeople: TypeAlias = Annotated[
    int, typer.Option("--max-people", min=1, help="People per photo, best first.")
]
FlipTest: TypeAlias = Annotated[
    bool, typer.Option("--flip-test", help="Average poses with the mirrored photo: slower.")
]
Every: TypeAlias = Annotated[
    int, typer.Option("--every", min=1, help="Of a video, take every N-th frame.")
]
