"""Options that several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

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
MostPeople: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--max-people",
        min=1,
        help="People per photo, best first; by default 50, and with the detectors boxes and "
        "precomputed all.",
        show_default=False,
    ),
]
FlipTest: TypeAlias = Annotated[
    bool, typer.Option("--flip-test", help="Average poses with the mirrored photo: slower.")
]
Every: TypeAlias = Annotated[
    int, typer.Option("--every", min=1, help="Of a video, take every N-th frame.")
]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="manifest: folder that its paths are told from."),
]
Labels: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="coco-actions: table with path and label.")
]
Images: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="DIR", help="coco-actions: folder of the photos.")
]
GroupPattern: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="class-folders, video-folders: what of a file's name is its group, in parentheses.",
    ),
]


def reading(
    root: Path | None, labels: Path | None, images: Path | None, group_pattern: str | None
) -> dict[str, Any]:
    """What was given of how labelled data are read, as `keyact.data.load_dataset` takes it."""
    given = {"root": root, "labels": labels, "images": images, "group_pattern": group_pattern}
    return {name: value for name, value in given.items() if value is not None}
