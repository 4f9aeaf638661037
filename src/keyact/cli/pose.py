"""``keyact pose``: key points alone, without an action model."""

from __future__ import annotations

from keyact.cli.options import (
    AlphaPoseForm,
    AlphaPoseTo,
    Detector,
    Every,
    FlipTest,
    JsonTo,
    MostPeople,
    Paths,
    Pose,
    Save,
    Threads,
)
from keyact.cli.run import Outputs, work_through
from keyact.cli.summary import PoseSummary
from keyact.cli.terminal import one_line_errors, pin_opencv


def pose(
    paths: Paths,
    pose_name: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    json_to: JsonTo = None,
    alphapose_to: AlphaPoseTo = None,
    alphapose_form: AlphaPoseForm = "default",
    save: Save = None,
    threads: Threads = None,
    max_people: MostPeople = None,
    flip_test: FlipTest = False,
    every: Every = 1,
) -> None:
    """Find the key points of each person in photos and videos, without naming actions.

    The results are those of `keyact predict` with every action unknown; postures follow from the
    key points. `keyact models` lists the backends. The exit status is 0 when all went well, 1
    when something could not be read or written, and 2 for a wrong option.
    """
    outputs = Outputs(
        json=json_to, alphapose=alphapose_to, save=save, alphapose_form=alphapose_form
    )
    outputs.check()
    with one_line_errors():
        from keyact.action.nothing import NoActions
        from keyact.recognizer import Recognizer

        pin_opencv(threads)
        recognizer = Recognizer(
            NoActions(),
            pose_name,
            detector,
            threads=threads,
            max_people=max_people,
            flip_test=flip_test,
        ).warm_up()
        work_through(paths, recognizer, PoseSummary(), outputs, every)
