"""Where ``keyact live`` puts its frames, events and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from keyact.cli.terminal import FAILED, USAGE, complain

if TYPE_CHECKING:
    from keyact.live import LiveFrame, LiveRecognizer, LiveSummary, Rule
    from keyact.live.deliver import Delivery
    from keyact.live.window import Window


class LiveOutputs:
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
def status(watched: LiveRecognizer, messages: Console, quiet: bool) -> Iterator[None]:
    """A table that changes, on a terminal."""
    if quiet or not messages.is_terminal:
        yield
        return
    with Live(
        get_renderable=lambda: summary_table(watched.summary(), now=True),
        console=messages,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


def summary_table(summary: LiveSummary, now: bool = False) -> Table:
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
