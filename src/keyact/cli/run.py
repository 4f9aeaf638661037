"""What ``keyact predict`` and ``keyact pose`` share: one run over photos, folders and videos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from glob import has_magic
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from rich.console import Console

from keyact.cli.clips import ClipFiles, Following, clip_frames, follow_clip, timeline_table
from keyact.cli.summary import Summary
from keyact.cli.terminal import (
    FAILED,
    asked_to_stop,
    complain,
    complain_of,
    console,
    progress_bar,
)
from keyact.errors import InputError, KeyactError
from keyact.formats import AlphaPoseFolder, AlphaPoseWriter, open_alphapose
from keyact.formats.alphapose_writer import Form
from keyact.media import MediaItem, find_media
from keyact.media.probe import probe_video
from keyact.outputs import (
    CsvWriter,
    JsonLinesWriter,
    SaveError,
    VideoWriter,
    annotate,
    save_image,
    unique_path,
)
from keyact.outputs.stream import LineStream
from keyact.replacing import same_place, spare

if TYPE_CHECKING:
    from keyact.recognizer import Recognizer
    from keyact.results import FrameResult
    from keyact.timeline import VideoTimeline

STDOUT = "-"


@dataclass(frozen=True)
class Outputs:
    """Where results go; ``"-"`` is standard output.

    Attributes
    ----------
    json, csv : row files.
    alphapose : AlphaPose's JSON, a file or a folder.
    alphapose_form : see `keyact.formats.AlphaPoseWriter`.
    save : folder of annotated copies.
    timeline : file of the videos' timelines, a line of JSON each.
    """

    json: str | None = None
    csv: str | None = None
    alphapose: Path | None = None
    save: Path | None = None
    alphapose_form: Form = "default"
    timeline: str | None = None

    def check(self) -> None:
        """Refuse what cannot be, before anything is loaded."""
        if [self.json, self.csv, self.timeline].count(STDOUT) > 1:
            raise typer.BadParameter("only one of --json, --csv and --timeline can write to stdout")
        if self.alphapose_form != "default" and self.alphapose is None:
            raise typer.BadParameter(
                "--alphapose-format is of a file: name it with --save-alphapose"
            )
        owner: dict[Path, str] = {}
        for option, path in self._files().items():
            first = owner.setdefault(same_place(path), option)
            if first != option:
                raise typer.BadParameter(f"{first} and {option} are the same file, {path}")

    def spare(self, items: Sequence[MediaItem]) -> None:
        """Refuse to write over what is read, and make the folder of the copies.

        Raises
        ------
        KeyactError : a file is both, or there can be no such folder.
        """
        spare((item.path for item in items), self._files())
        if self.save is not None:
            try:
                self.save.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = error.strerror or error
                raise KeyactError(f"{self.save}: cannot be made a folder: {reason}") from None

    def _files(self) -> dict[str, str | Path]:
        named = {
            "--json": self.json,
            "--csv": self.csv,
            "--timeline": self.timeline,
            "--save-alphapose": self.alphapose,
        }
        return {name: path for name, path in named.items() if path not in (None, STDOUT)}


def work_through(
    paths: Sequence[str],
    recognizer: Recognizer,
    summary: Summary,
    outputs: Outputs,
    every: int = 1,
    following: Following | None = None,
) -> None:
    """Recognise whatever the paths stand for, write it, and say what was found.

    Parameters
    ----------
    recognizer : warmed up, because a wrong name must not cost an output file its old content.
    summary : collects what the table says.
    every : of a video, take every N-th frame.
    following : how people are followed through videos; None takes each frame for itself.

    Raises
    ------
    typer.Exit : something failed, or Ctrl-C; what was written before is complete.
    """
    messages = console(stderr=True)
    run = _Run(recognizer, summary, messages, every, outputs.save, following)
    started = time.perf_counter()
    interrupted = False
    items = run.find(paths)
    if items:
        outputs.spare(items)
    alone = following and following.sequence and not recognizer.action_model.labels
    if alone and any(item.kind == "photo" for item in items):
        messages.print("a sequence network names actions in videos; of photos it gives none")
    with ExitStack() as stack:
        if items and outputs.json is not None:
            run.writers.append(stack.enter_context(JsonLinesWriter(outputs.json)))
        if items and outputs.csv is not None:
            run.writers.append(stack.enter_context(CsvWriter(outputs.csv)))
        if items and outputs.alphapose is not None:
            writer = open_alphapose(outputs.alphapose, outputs.alphapose_form, items)
            stack.callback(writer.close)
            run.writers.append(writer)
        if outputs.timeline is not None and any(item.kind == "video" for item in items):
            run.timeline_to = stack.enter_context(LineStream(outputs.timeline))
        run.asked = stack.enter_context(asked_to_stop())
        try:
            run.work(items)
        except KeyboardInterrupt:
            interrupted = True
    seconds = time.perf_counter() - started

    findings = messages if STDOUT in (outputs.json, outputs.csv, outputs.timeline) else console()
    table = summary.table()
    if table.row_count:
        findings.print(table)
    segments, left_out = timeline_table(run.timelines)
    if segments.row_count:
        findings.print()
        findings.print(segments)
    if left_out:
        messages.print(f"... and {left_out} more actions; --timeline writes all")
    if summary.left_out:
        messages.print(f"... and {summary.left_out} more rows; the files written hold all")
    messages.print(summary.closing_line(seconds))
    if interrupted:
        complain("interrupted; what was written so far is complete", messages)
        raise typer.Exit(128 + run.asked[0])
    if summary.failed:
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
        following: Following | None,
    ) -> None:
        self.asked: Sequence[int] = ()  # signals to stop
        self.timelines: list[VideoTimeline] = []
        self.timeline_to: LineStream | None = None
        self._following = following
        self.summary = summary
        self.writers: list[JsonLinesWriter | CsvWriter | AlphaPoseWriter | AlphaPoseFolder] = []
        self._recognizer = recognizer
        self._messages = messages
        self._every = every
        self._save = save
        self._saved: set[Path] = set()
        self._progress = progress_bar(messages)
        self._task = self._progress.add_task("", total=None)

    def find(self, paths: Sequence[str]) -> list[MediaItem]:
        """The files that the paths stand for, each once; the rest is reported."""
        found: dict[str, MediaItem] = {}
        copies = 0
        for path in paths:
            try:
                for item in find_media([path], self._failed):
                    if self._is_copy(path, item):
                        copies += 1
                    else:
                        found.setdefault(item.place, item)
            except InputError as error:
                self._failed(path, error)
        if copies:
            where = f"{copies} of the files found are in {self._save}"
            self._messages.print(f"{where}, where --save writes: left out", markup=False)
        self._saved |= {same_place(item.path) for item in found.values()}
        return list(found.values())

    def _is_copy(self, path: str, item: MediaItem) -> bool:
        """Whether it lies where --save writes, and was found there by searching a folder above."""
        if self._save is None:
            return False
        saved = same_place(self._save)
        searched = Path(*takewhile(lambda part: not has_magic(part), Path(path).parts))
        return saved in same_place(item.path).parents and same_place(searched) in saved.parents

    def work(self, items: Sequence[MediaItem]) -> None:
        """Recognise all items; what cannot be read is reported and left out.

        Raises
        ------
        KeyboardInterrupt : it was asked to stop; what was done is written.
        """
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
                        rate = clips[item.path].rate / self._every
                        if self._following is None:
                            self._video(item.path, rate)
                        else:
                            self._followed_video(item.path, rate, self._following)
                    except (InputError, SaveError) as error:
                        self._failed(str(item.path), error)

    def _photos(self, paths: list[Path]) -> None:
        def failed(source: str, error: InputError) -> None:
            self._failed(source, error)
            self._progress.advance(self._task)

        for image, result in self._recognizer.recognize_frames(paths, on_error=failed):
            if self._save is not None:
                target = unique_path(self._save, result.source, ".jpg", self._saved)
                try:
                    save_image(target, annotate(image, result))
                except SaveError as error:  # what was found is written all the same
                    self._failed(result.source, error)
            self._done("photo", result)

    def _video(self, path: Path, rate: float) -> None:
        with ExitStack() as stack:
            clip: VideoWriter | None = None
            for image, result in self._recognizer.recognize_frames(clip_frames(path, self._every)):
                if self._save is not None:
                    if clip is None:
                        target = unique_path(self._save, path, ".mp4", self._saved)
                        # Closed, not dropped, also when the video is damaged further on.
                        clip = stack.enter_context(closing(VideoWriter(target, rate)))
                    clip.write(annotate(image, result), result.timestamp)
                self._done("video", result)

    def _followed_video(self, path: Path, rate: float, following: Following) -> None:
        files = None
        if self._save is not None:
            files = ClipFiles(
                unique_path(self._save, path, ".mp4", self._saved),
                unique_path(self._save, path, ".timeline.png", self._saved),
            )

        def ended(timeline: VideoTimeline) -> None:
            self.timelines.append(timeline)
            if self.timeline_to is not None:
                self.timeline_to.write(timeline.to_json() + "\n")

        follow_clip(
            self._recognizer, path, rate, self._every, following, files,
            done=lambda result: self._done("video", result), ended=ended,
        )  # fmt: skip

    def _done(self, kind: Literal["photo", "video"], result: FrameResult) -> None:
        for writer in self.writers:
            writer.write(result)
        self.summary.add(kind, result)
        self._progress.update(self._task, advance=1, description=Path(result.source).name)
        self._stop_if_asked()

    def _failed(self, source: str, error: KeyactError) -> None:
        self.summary.failed += 1
        complain_of(source, error, self._messages)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.asked:
            raise KeyboardInterrupt
