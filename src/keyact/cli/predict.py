"""``keyact predict``: recognise photos, folders and videos."""

from __future__ import annotations

from typing import Annotated

import typer

from keyact.cli.clips import Following
from keyact.cli.options import (
    AlphaPoseForm,
    AlphaPoseTo,
    Detector,
    Every,
    FlipTest,
    JsonTo,
    MinConfidence,
    Model,
    MostPeople,
    Paths,
    Pose,
    Save,
    Threads,
)
from keyact.cli.run import Outputs, work_through
from keyact.cli.summary import PoseSummary, Summary
from keyact.cli.terminal import one_line_errors, pin_opencv


def predict(
    paths: Paths,
    json_to: JsonTo = None,
    csv_to: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write CSV, one row per person; - for stdout."),
    ] = None,
    alphapose_to: AlphaPoseTo = None,
    alphapose_form: AlphaPoseForm = "default",
    save: Save = None,
    top_k: Annotated[int, typer.Option(min=1, help="Ranked actions per person.")] = 5,
    model: Model = "keypoint-fusion",
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    threads: Threads = None,
    min_confidence: MinConfidence = None,
    max_people: MostPeople = None,
    flip_test: FlipTest = False,
    every: Every = 1,
    timeline_to: Annotated[
        str | None,
        typer.Option(
            "--timeline",
            metavar="FILE",
            help="Write who did what when in each video, a line of JSON each; - for stdout.",
        ),
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            "--sequence",
            help="Sequence model for videos: a name of `keyact models`, an .onnx file, or none. "
            "By default the bundled one, beside the bundled photo model.",
        ),
    ] = None,
    track: Annotated[
        bool,
        typer.Option(
            "--track/--no-track",
            help="Follow people through videos and steady their key points, or take each frame "
            "for itself.",
        ),
    ] = True,
) -> None:
    """Name what each person is doing in photos and videos.

    In videos people are followed from frame to frame and what they do becomes a timeline, which
    --save draws beside the annotated copy. A sequence network as --model names the actions in
    videos by itself; as --sequence it does so together with the photo model.

    Files that cannot be read are reported and left out. The exit status is 0 when all went
    well, 1 when something could not be read or written, and 2 for a wrong option.
    """
    outputs = Outputs(json_to, csv_to, alphapose_to, save, alphapose_form, timeline_to)
    outputs.check()
    for option, given in (("--timeline", timeline_to), ("--sequence", sequence)):
        if given is not None and not track:
            raise typer.BadParameter(f"{option} follows people: leave --no-track out")
    with one_line_errors():
        from keyact import action
        from keyact.action.clips import is_sequence_network
        from keyact.action.nothing import NoActions
        from keyact.recognizer import Recognizer

        if alone := is_sequence_network(model):
            if sequence is not None or not track:
                raise typer.BadParameter(
                    f"--model {model} is a sequence network: leave --sequence and --no-track out"
                )
            sequence = model
        pin_opencv(threads)
        recognizer = Recognizer(
            NoActions() if alone else model,
            pose,
            detector,
            threads=threads,
            min_confidence=min_confidence,
            max_people=max_people,
            top_k=top_k,
            flip_test=flip_test,
        ).warm_up()
        network = action.load_sequence(sequence, threads, recognizer.action_model)
        following = Following(network) if track else None
        # A sequence network names nothing in single frames: the timeline's table does.
        summary = PoseSummary() if alone else Summary(top_k)
        work_through(paths, recognizer, summary, outputs, every, following)
