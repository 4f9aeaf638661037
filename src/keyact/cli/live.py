"""``keyact live``: recognise cameras, streams and files while they run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from keyact.cli.options import Detector, JsonTo, MaxPeople, Model, Pose, Threads
from keyact.cli.terminal import FAILED, USAGE, complain, console, one_line_errors

if TYPE_CHECKING:
    from keyact.live import LiveFrame, LiveRecognizer, LiveSummary, Rule
    from keyact.live.deliver import Delivery
    from keyact.live.window import Window

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
            help="Sequence model: a name of `keyact models`, an .onnx file, or none; the default "
            "one when not given."
        ),
    ] = None,
    threads: Threads = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Call an action unknown below this; the model's own by default."
        ),
    ] = None,
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

        outputs = _Outputs(messages)
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
            sequence=False if sequence == "none" else sequence,
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
            asked = stack.enter_context(_signals())
            started = time.monotonic()

            def look_up() -> None:
                """What ends the run, with and without frames."""
                late = seconds is not None and time.monotonic() - started >= seconds
                if asked or late or outputs.ended():
                    watched.stop()

            quiet = STDOUT in (json_to, events_to) and console().is_terminal
            with _status(watched, messages, quiet):
                for frame in watched:
                    outputs.write(frame)
                    look_up()
        summary = watched.summary()
        for one in summary.sources:
            if one.error is not None:
                complain(one.error, messages)
        messages.print(_table(summary))
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


class _Outputs:
    """Everything that a frame goes to."""

    def __init__(self, messages: Console) -> None:
        self._messages = messages
        self._json: Any = None
        self._events: Any = None
        self._window: Window | None = None
        self._deliveries: list[Delivery] = []
        self._triggers: Any = None
        self._clips: Callable[[LiveFrame], Any] | None = None
        self._fired = 0
        self._saved: list[Path] = []

    def ended(self) -> bool:
        """Whether the user has closed the window."""
        if self._window is None:
            return False
        self._window.refresh()
        return self._window.closed

    def open_deliveries(self, stack: ExitStack, run: str | None, hook: str | None) -> None:
        """Check the command and the address, and start their threads."""
        from keyact.live.deliver import Delivery, command, webhook

        senders = [("--run", command(run))] if run else []
        senders += [("--webhook", webhook(hook))] if hook else []
        for name, send in senders:
            delivery = Delivery(name, send, lambda text: complain(text, self._messages))
            stack.callback(delivery.close)
            self._deliveries.append(delivery)

    def open_window(self, stack: ExitStack, show: bool | None, others: bool) -> None:
        """A window, if one is wanted or if there is nothing else."""
        from keyact.live.window import NoDisplayError, Window

        if show is False or (show is None and others):
            if not others:
                complain("nothing to do: use --show, --save out.mp4, --json - or --on", None)
                raise typer.Exit(USAGE)
            return
        try:
            self._window = Window()
        except NoDisplayError as error:
            complain(f"{error}; use --save out.mp4, --json - or --on", None)
            raise typer.Exit(FAILED) from None
        stack.callback(self._window.close)

    def open_files(
        self,
        stack: ExitStack,
        json_to: str | None,
        save: Path | None,
        events_to: str | None,
        count: int,
    ) -> None:
        """Files are complete when the stack is closed, whatever ends the run."""
        from keyact.outputs import JsonLinesWriter
        from keyact.outputs.stream import LineStream

        if json_to is not None:
            self._json = stack.enter_context(JsonLinesWriter(json_to))
        if events_to is not None:
            self._events = stack.enter_context(LineStream(events_to))
        if save is not None:
            self._clips = self._clip_writer(stack, save)

    def rules(self, rules: list[Rule], cooldown: float) -> None:
        """Watch for what they say."""
        from keyact.live.events import Triggers

        self._triggers = Triggers(rules, cooldown) if rules else None

    def write(self, frame: LiveFrame) -> None:
        """One frame to all of them."""
        if self._json is not None:
            self._json.write(frame.result)
        if self._triggers is not None:
            for event in self._triggers.push(frame):
                self._fire(event)
        if self._clips is not None or self._window is not None:
            from keyact.outputs import annotate

            picture = annotate(frame.image, frame.result)
            if self._clips is not None:
                seconds = frame.result.timestamp
                seconds = float(frame.result.index) if seconds is None else seconds
                self._clips(frame).write(picture, seconds)
            if self._window is not None:
                self._window.show(frame.number, frame.source, picture)

    def closing_lines(self) -> Iterator[str]:
        """What there is to say at the end."""
        for path in self._saved:
            if path.exists():
                yield f"Wrote {path}"
        if self._triggers is not None:
            sent = [
                f"; {d.name}: {d.delivered} delivered, {d.failed} failed, {d.dropped} dropped"
                for d in self._deliveries
            ]
            yield f"{self._fired} events{''.join(sent)}"

    def events_summary(self) -> dict[str, Any]:
        """The same as numbers."""
        return {"fired": self._fired} | {
            d.name.strip("-"): {
                "delivered": d.delivered, "failed": d.failed, "dropped": d.dropped
            }
            for d in self._deliveries
        }  # fmt: skip

    def _fire(self, event: Any) -> None:
        self._fired += 1
        who = "" if event.track_id is None else f"#{event.track_id} "
        self._messages.print(
            f"{event.time} {who}{event.label} {event.probability:.0%} in {event.source}",
            markup=False,
            soft_wrap=True,
        )
        if self._events is not None:
            self._events.write(event.to_json() + "\n")
        for delivery in self._deliveries:
            delivery.put(event)

    def _clip_writer(self, stack: ExitStack, save: Path) -> Callable[[LiveFrame], Any]:
        from keyact.outputs import VideoWriter, unique_path
        from keyact.outputs.save import VIDEO_SUFFIXES

        writers: dict[int, VideoWriter] = {}
        taken: set[Path] = set()

        def writer(frame: LiveFrame) -> VideoWriter:
            if frame.number not in writers:
                path = save
                if save.suffix.lower() not in VIDEO_SUFFIXES:
                    name = frame.source.replace("://", "-").replace("/", "-").replace(":", "-")
                    stem = Path(frame.source).name if Path(frame.source).exists() else name
                    path = unique_path(save, stem, ".mp4", taken)
                writers[frame.number] = VideoWriter(path, 30)
                stack.callback(writers[frame.number].close)
                self._saved.append(path)
            return writers[frame.number]

        return writer


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The SIGINT or SIGTERM that came is in the list; a second one ends the process at once.

    Nothing is called that takes a lock: whatever was interrupted may hold it.
    """
    asked: list[int] = []

    def handle(number: int, _: object) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _status(watched: LiveRecognizer, messages: Console, quiet: bool) -> Iterator[None]:
    """A table that changes, on a terminal."""
    if quiet or not messages.is_terminal:
        yield
        return
    with Live(
        get_renderable=lambda: _table(watched.summary(), now=True),
        console=messages,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


def _table(summary: LiveSummary, now: bool = False) -> Table:
    """Key points are measured in each frame, or of each person in one of so many (Pose 1/N)."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Source", overflow="ellipsis", no_wrap=True)
    for name in ("FPS", "p50/p95 ms", "Frames", "Dropped", "Again", "People", "Pose"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in summary.sources:
        total = one.looked + one.carried
        every = one.every if now or not total else total / max(one.looked, 1)
        name = Path(one.source).name if one.kind in ("file", "photos") else one.source
        table.add_row(
            name if one.state in ("running", "ended") else f"({one.state}) {name}",
            f"{one.recent_fps if now else one.fps:.1f}",
            f"{one.p50_ms:.0f}/{one.p95_ms:.0f}",
            str(one.frames),
            str(one.dropped),
            str(one.reconnects),
            str(one.people),
            f"1/{every:.1f}",
        )
    return table
