"""``keyact demo``: the main job with nothing at hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from keyact.cli.options import Detector, Model, Pose, Threads
from keyact.cli.summary import Summary
from keyact.cli.terminal import console, one_line_errors
from keyact.errors import InputError

# Rear Admiral Grace Hopper, a portrait by the U.S. Navy in the public domain.
_PHOTO = Path("mpl-data", "sample_data", "grace_hopper.jpg")


def demo(
    out: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="Where the annotated picture goes.")
    ] = Path("keyact-demo.jpg"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one line of JSON.")
    ] = False,
    model: Model = "keypoint-fusion",
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    threads: Threads = None,
) -> None:
    """Recognise a photo that comes with matplotlib and write an annotated copy.

    Nothing is downloaded: it shows that the installation works, from photo to picture.
    """
    with one_line_errors():
        from keyact.media import load_image
        from keyact.outputs import annotate, save_image
        from keyact.recognizer import Recognizer

        photo = demo_photo()
        image = load_image(photo)
        result = Recognizer(model, pose, detector, threads=threads)(image, source=photo.name)
        save_image(out, annotate(image, result))
        if as_json:
            typer.echo(result.to_json())
        else:
            summary = Summary(top_k=len(result.image_actions))
            summary.add("photo", result)
            console().print(summary.table())
        console(stderr=True).print(f"Wrote {out}", markup=False, soft_wrap=True)


def demo_photo() -> Path:
    """Where matplotlib keeps the photo."""
    spec = find_spec("matplotlib")  # located, not imported: only its file is wanted
    if spec is None or spec.origin is None:
        raise InputError("the demo's photo comes with matplotlib: pip install matplotlib")
    photo = Path(spec.origin).parent / _PHOTO
    if not photo.is_file():
        raise InputError(
            f"{photo}: this build of matplotlib has no sample photos; "
            "try `keyact predict` on a photo of your own"
        )
    return photo
