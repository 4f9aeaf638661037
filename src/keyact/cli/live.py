"""``keyact live``: recognise cameras, streams and files while they run."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyact.cli.live_outputs import LiveOutputs, status, summary_table
from keyact.cli.options import Detector, JsonTo, MaxPeople, MinConfidence, Model, Pose, Threads
from keyact.cli.terminal import (
    FAILED,
    USAGE,
    asked_to_stop,
    complain,
    console,
    one_line_errors,
    pin_opencv,
)

if TYPE_CHECKING:
    from keyact.live import Rule

STDOUT = "-"
_WHERE = "Where results go"
_EVENTS = "Events"


def live(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Cameras (0, /dev/video2), video files, folders of photos, and, with "
            "--allow-network, rtsp:// and http:// addresses.",
        ),
    ],
    show: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-show",
            help="A window; by default when nothing else is asked for.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Annotated video, .mp4, .mov or .mkv; a folder for several sources.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    json_to: JsonTo = None,
    summary_to: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="Counts and times at the end, as JSON."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="An event when somebody begins an action, such as 'boxing>0.8'; repeatable.",
            rich_help_panel=_EVENTS,
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Run for each event, without a shell; the event is JSON on its input.",
            rich_help_panel=_EVENTS,
        ),
    ] = None,
    hook: Annotated[
        str | None,
        typer.Option(
            "--webhook", metavar="URL", help="POST each event as JSON.", rich_help_panel=_EVENTS
        ),
    ] = None,
    events_to: Annotated[
        str | None,
        typer.Option(
            "--events",
            metavar="FILE",
            help="Write events as JSON Lines; - for stdout.",
            rich_help_panel=_EVENTS,
        ),
    ] = None,
    cooldown: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Seconds before a rule fires again for the same person.",
            rich_help_panel=_EVENTS,
        ),
    ] = 10.0,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Open addresses as sources.")
    ] = False,
    realtime: Annotated[
        bool,
        typer.Option("--realtime", help="Play files at their own pace, as a camera would."),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after this long; endless when not given.")
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(min=0, help="Tries before a lost stream is given up; endless when not given."),
    ] = None,
    min_fps: Annotated[
        float,
        typer.Option(min=0.0, help="Below this rate look at people in turn; 0: always at all."),
    ] = 10.0,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Of a frame.")] = 36.0,
    model: Model = "keypoint-fusion",
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    sequence: Annotated[
        str | None,
        typer.Option(
            help="Sequence model: a name of `keyact models`, an .onnx file, or none. By default "
            "the bundled one, beside the bundled photo model."
        ),
    ] = None,
    threads: Threads = None,
    min_confidence: MinConfidence = None,
    max_people: MaxPeople = 10,
) -> None:
    """Recognise cameras, streams and files while they run, several at once.

    When frames come faster than they can be recognised, the newest one wins. Ctrl-C or SIGTERM
    ends it, with all files complete; a second one ends it at once. A sequence network as --model
    names the actions by itself.

    The exit status is 0 at the end or when you end it, 1 when a source or an output failed, and
    2 for a wrong option.
    """
    messages = console(stderr=True)
    with one_line_errors():
        from keyact.action.clips import is_sequence_network
        from keyact.action.nothing import NoActions
        from keyact.live.events import RuleError, check_rules, parse_rule
        from keyact.live.run import LiveRecognizer
        from keyact.recognizer import Recognizer

        outputs = LiveOutputs(messages)
        try:
            rules = [parse_rule(text) for text in on or ()]
        except RuleError as error:
            complain(f"--on: {error}")
            raise typer.Exit(USAGE) from None
        _check(rules, run, hook, events_to, json_to, save, sources)
        if alone := is_sequence_network(model):
            if sequence is not None:
                raise typer.BadParameter(f"--model {model} is a sequence network: leave --sequence")
            sequence = model
        pin_opencv(threads)
        recognizer = Recognizer(
            NoActions() if alone else model,
            pose,
            detector,
            threads=threads,
            min_confidence=min_confidence,
            max_people=max_people,
        )
        watched = LiveRecognizer(
            sources,
            recognizer,
            allow_network=allow_network,
            realtime=realtime,
            sequence=sequence,
            min_fps=min_fps,
            retries=retries,
            max_pixels=round(max_megapixels * 1e6),
            told=lambda text: complain(text, messages),
            idle=lambda: look_up(),
        )
        with ExitStack() as stack:
            # A wrong name or address must not cost an output file its old content.
            outputs.open_deliveries(stack, run, hook)
            outputs.open_window(stack, show, others=bool(save or json_to or rules))
            watched.warm_up()
            check_rules(rules, watched.labels)
            outputs.open_files(stack, json_to, save, events_to, len(sources))
            outputs.rules(rules, cooldown)
            asked = stack.enter_context(asked_to_stop())
            started = time.monotonic()

            def look_up() -> None:
                """What ends the run, with and without frames."""
                late = seconds is not None and time.monotonic() - started >= seconds
                if asked or late or outputs.ended():
                    watched.stop()

            quiet = STDOUT in (json_to, events_to) and console().is_terminal
            with status(watched, messages, quiet):
                for frame in watched:
                    outputs.write(frame)
                    look_up()
        summary = watched.summary()
        for one in summary.sources:
            if one.error is not None:
                complain(one.error, messages)
        messages.print(summary_table(summary))
        for line in outputs.closing_lines():
            messages.print(line, markup=False, soft_wrap=True)
        if summary_to is not None:
            from keyact.outputs.stream import LineStream

            with LineStream(summary_to) as file:
                file.write(summary.to_json(events=outputs.events_summary()))
        if any(one.error is not None for one in summary.sources):
            raise typer.Exit(FAILED)


def _check(
    rules: list[Rule],
    run: str | None,
    hook: str | None,
    events_to: str | None,
    json_to: str | None,
    save: Path | None,
    sources: list[str],
) -> None:
    """Refuse what cannot be, before anything is loaded."""
    from keyact.outputs.save import VIDEO_SUFFIXES

    if (run or hook or events_to) and not rules:
        raise typer.BadParameter("--run, --webhook and --events need a rule: --on 'boxing>0.8'")
    if json_to == STDOUT and events_to == STDOUT:
        raise typer.BadParameter("only one of --json and --events can write to stdout")
    if save is not None and len(sources) > 1 and save.suffix.lower() in VIDEO_SUFFIXES:
        raise typer.BadParameter(f"--save: {save} is one file; give a folder for several sources")
