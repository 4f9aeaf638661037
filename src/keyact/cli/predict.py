"""``keyact predict``: recognise photos, folders and videos."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from keyact.cli.options import Detector, Model, Pose, Threads
from keyact.cli.summary import Summary
from keyact.cli.terminal import FAILED, INTERRUPTED, complain, console, one_line_errors
from keyact.errors import InputError
from keyact.formats import AlphaPoseWriter
from keyact.media import MediaItem, find_media, iter_frames
from keyact.media.probe import probe_video
from keyact.outputs import (
    CsvWriter,
    JsonLinesWriter,
    VideoWriter,
    annotate,
    save_image,
    unique_path,
)

if TYPE_CHECKING:
    from keyact.recognizer import Frame, Recognizer
    from keyact.results import FrameResult

STDOUT = "-"


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Photos, videos, folders or glob patterns."),
    ],
    json_to: Annotated[
        str | None,
        typer.Option(
            "--json", metavar="FILE", help="Write JSON Lines, one per frame; - for stdout."
        ),
    ] = None,
    csv_to: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write CSV, one row per person; - for stdout."),
    ] = None,
    alphapose_to: Annotated[
        Path | None,
        typer.Option(
            "--save-alphapose",
            metavar="FILE",
            dir_okay=False,
            help="Write the people as AlphaPose's JSON.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Save annotated photos and clips here."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Ranked actions per person.")] = 5,
    model: Model = "keypoint-fusion",
    pose: Pose = "fastpose-m",
    detector: Detector = "persondet-m",
    threads: Threads = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Call an action unknown below this; the model's own by default."
        ),
    ] = None,
    max_people: Annotated[int, typer.Option(min=1, help="People per photo, best first.")] = 50,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average poses with the mirrored photo: slower.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Of a video, take every N-th frame.")] = 1,
) -> None:
    """Name what each person is doing in photos and videos.

    Files that cannot be read are reported and left out. The exit status is 0 when all went
    well, 1 when something could not be read or written, and 2 for a wrong option.
    """
    if json_to == csv_to == STDOUT:
        raise typer.BadParameter("--json and --csv cannot both write to stdout")
    with one_line_errors():
        from keyact.recognizer import Recognizer

        recognizer = Recognizer(
            model,
            pose,
            detector,
            threads=threads,
            min_confidence=min_confidence,
            max_people=max_people,
            top_k=top_k,
            flip_test=flip_test,
        ).warm_up()  # a wrong name must not cost an output file its old content
        messages = console(stderr=True)
        run = _Run(recognizer, Summary(top_k), messages, every, save)
        started = time.perf_counter()
        interrupted = False
        items = run.find(paths)
        with ExitStack() as stack:
            if items and json_to is not None:
                run.writers.append(stack.enter_context(JsonLinesWriter(json_to)))
            if items and csv_to is not None:
                run.writers.append(stack.enter_context(CsvWriter(csv_to)))
            if items and alphapose_to is not None:
                run.writers.append(stack.enter_context(AlphaPoseWriter(alphapose_to)))
            try:
                run.work(items)
            except KeyboardInterrupt:
                interrupted = True
        seconds = time.perf_counter() - started

        findings = messages if STDOUT in (json_to, csv_to) else console()
        table = run.summary.table()
        if table.row_count:
            findings.print(table)
        if run.summary.left_out:
            messages.print(f"... and {run.summary.left_out} more rows; --json and --csv hold all")
        messages.print(run.summary.closing_line(seconds))
        if interrupted:
            complain("interrupted; what was written so far is complete", messages)
            raise typer.Exit(INTERRUPTED)
        if run.summary.failed:
            raise typer.Exit(FAILED)


class _Run:
    """One run over all paths: recognise, write, count."""

    def __init__(
        self,
        recognizer: Recognizer,
        summary: Summary,
        messages: Console,
        every: int,
        save: Path | None,
    ) -> None:
        self.summary = summary
        self.writers: list[JsonLinesWriter | CsvWriter | AlphaPoseWriter] = []
        self._recognizer = recognizer
        self._messages = messages
        self._every = every
        self._save = save
        self._saved: set[Path] = set()
        self._progress = _progress_bar(messages)
        self._task = self._progress.add_task("", total=None)

    def find(self, paths: Sequence[str]) -> list[MediaItem]:
        """The files that the paths stand for, each once; the rest is reported."""
        found: dict[MediaItem, None] = {}
        for path in paths:
            try:
                found.update(dict.fromkeys(find_media([path])))
            except InputError as error:
                self._failed(path, error)
        return list(found)

    def work(self, items: Sequence[MediaItem]) -> None:
        """Recognise all items; what cannot be read is reported and left out."""
        clips = {item.path: probe_video(item.path) for item in items if item.kind == "video"}
        lengths = [clip.frames and -(-clip.frames // self._every) for clip in clips.values()]
        if None not in lengths:
            total = len(items) - len(clips) + sum(length or 0 for length in lengths)
            self._progress.update(self._task, total=total)
        with self._progress:
            # Photos that follow each other share one queue; a video has its own.
            for kind, group in groupby(items, key=lambda item: item.kind):
                if kind == "photo":
                    self._photos([item.path for item in group])
                    continue
                for item in group:
                    try:
                        self._video(item.path, clips[item.path].rate / self._every)
                    except InputError as error:
                        self._failed(str(item.path), error)

    def _photos(self, paths: list[Path]) -> None:
        def failed(source: str, error: InputError) -> None:
            self._failed(source, error)
            self._progress.advance(self._task)

        for image, result in self._recognizer.recognize_frames(paths, on_error=failed):
            if self._save is not None:
                target = unique_path(self._save, result.source, ".jpg", self._saved)
                save_image(target, annotate(image, result))
            self._done("photo", result)

    def _video(self, path: Path, rate: float) -> None:
        with ExitStack() as stack:
            clip: VideoWriter | None = None
            for image, result in self._recognizer.recognize_frames(_frames(path, self._every)):
                if self._save is not None:
                    if clip is None:
                        target = unique_path(self._save, path, ".mp4", self._saved)
                        # Closed, not dropped, also when the video is damaged further on.
                        clip = stack.enter_context(closing(VideoWriter(target, rate)))
                    clip.write(annotate(image, result))
                self._done("video", result)

    def _done(self, kind: Literal["photo", "video"], result: FrameResult) -> None:
        for writer in self.writers:
            writer.write(result)
        self.summary.add(kind, result)
        self._progress.update(self._task, advance=1, description=Path(result.source).name)

    def _failed(self, source: str, error: InputError) -> None:
        self.summary.failed += 1
        text = str(error)
        complain(text if source in text else f"{source}: {text}", self._messages)


def _frames(path: Path, every: int) -> Iterator[Frame]:
    from keyact.recognizer import Frame

    for index, timestamp, image in iter_frames(path, every):
        yield Frame(image, str(path), index, timestamp)


def _progress_bar(messages: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
        # Results may go to stdout, which must stay what it is.
        redirect_stdout=False,
        redirect_stderr=False,
    )
