"""``keyact explain``: which places and joints does a verdict rest on?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from keyact.cli.judging import Jobs, bars
from keyact.cli.options import Detector, Model, Pose
from keyact.cli.terminal import FAILED, complain, console, one_line_errors
from keyact.errors import InputError


def explain(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Photos or folders.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Where pictures go.")
    ] = Path("explanations"),
    label: Annotated[
        str | None,
        typer.Option("--label", help="The action to explain; the most probable without it."),
    ] = None,
    person: Annotated[
        int | None,
        typer.Option(
            "--person", min=0, help="Explain this person's verdict, not the photo's; from 0."
        ),
    ] = None,
    model: Model = "keypoint-fusion",
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    jobs: Jobs = None,
) -> None:
    """Show what an action rests on: a heat map over the photo, and the worth of each joint.

    Parts of the photo are blurred and joints are hidden one by one, and the fall of the action's
    log-odds is drawn and written as JSON. People are numbered as `keyact predict` lists them. The
    exit status is 0 when all went well, 1 when a photo could not be read, and 2 for a wrong
    option.
    """
    messages = console(stderr=True)
    failed = False
    with one_line_errors():
        import numpy as np

        from keyact import action, load_image
        from keyact.evaluate.explanation import explain as find
        from keyact.evaluate.explanation_picture import EXPLANATION, save_explanation
        from keyact.layouts import convert
        from keyact.media import find_media
        from keyact.outputs import unique_path
        from keyact.recognizer import Recognizer
        from keyact.replacing import same_place

        jobs = jobs or os.cpu_count() or 1
        judge = action.load(model, threads=1 if jobs > 1 else None)
        recognizer = Recognizer(judge, pose, detector).warm_up()
        items = [item for item in find_media(photos) if item.kind == "photo"]
        if not items:
            raise InputError(f"{photos[0]}: no photo found; explanations are of photos")
        taken = {same_place(item.path) for item in items}  # no photo is written over
        with bars(messages) as progress:
            for item in items:
                try:
                    image = load_image(item.path)
                    people = recognizer(image).people
                except InputError as error:
                    complain(error, messages)
                    failed = True
                    continue
                found = find(
                    image,
                    np.array([one.box for one in people], np.float32).reshape(-1, 4),
                    np.array(
                        [convert(one.keypoints, one.layout, "coco17") for one in people]
                    ).reshape(-1, 17, 3),
                    judge,
                    label=label,
                    person=person,
                    jobs=jobs,
                    progress=progress(item.path.name),
                )
                free = unique_path(out, item.path, EXPLANATION, taken).name
                picture, _ = save_explanation(out, free.removesuffix(EXPLANATION), image, found)
                who = "the photo" if person is None else f"person {person}"
                console().print(
                    f"{item.path}: {who} is {found.label} {found.probability:.0%}: {picture}",
                    markup=False,
                    soft_wrap=True,
                )
        if failed:
            raise typer.Exit(FAILED)
