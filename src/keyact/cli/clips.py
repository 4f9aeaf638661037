"""Videos of ``keyact predict``: people followed, a timeline, the annotated copy with its sound."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from keyact.media import iter_frames
from keyact.outputs import VideoWriter, annotate, draw_timeline, save_image
from keyact.results import FrameResult

if TYPE_CHECKING:
    from keyact.action import SequenceModel
    from keyact.recognizer import Frame, Recognizer
    from keyact.timeline import VideoTimeline

MAX_ROWS = 40
"""Segments that the table on the terminal shows."""


@dataclass(frozen=True)
class Following:
    """How the people of a video are followed.

    Attributes
    ----------
    sequence : sequence network; None takes the verdicts of single frames alone.
    smooth : steady the key points.
    """

    sequence: SequenceModel | None = None
    smooth: bool = True


@dataclass(frozen=True)
class ClipFiles:
    """What is written of one video, under names that are free."""

    video: Path
    picture: Path


def follow_clip(
    recognizer: Recognizer,
    path: Path,
    rate: float,
    every: int,
    following: Following,
    files: ClipFiles | None,
    done: Callable[[FrameResult], None],
    ended: Callable[[VideoTimeline], None],
) -> None:
    """Recognise one video and write its files.

    The annotated copy shows the actions of the timeline, which are only settled when the video
    is over: it is drawn in a second pass over the frames, whose results wait on disk.

    Parameters
    ----------
    rate : frames per second of what is looked at.
    files : None writes neither copy nor picture.
    done : is given each frame's result.
    ended : is given the timeline; also of a video that is damaged further on, or when
        interrupted.

    Raises
    ------
    InputError : the video cannot be read, or only in part.
    """
    from keyact.video import VideoRecognizer

    run = VideoRecognizer(
        recognizer, rate, sequence=following.sequence or False, smooth=following.smooth
    )  # fmt: skip
    with tempfile.TemporaryFile("w+", encoding="utf-8") as waiting:
        frames = 0
        try:
            for _, result in run.frames(clip_frames(path, every)):
                if files is not None:
                    waiting.write(result.to_json() + "\n")
                frames += 1
                done(result)
        finally:
            if frames:
                timeline = run.timeline(str(path))
                ended(timeline)
                if files is not None:
                    save_image(files.picture, draw_timeline(timeline, path.name))
                    waiting.seek(0)
                    results = (FrameResult.from_json(line) for line in waiting)
                    _draw(path, rate, every, results, timeline, files.video)


def clip_frames(path: Path, every: int) -> Iterator[Frame]:
    """The frames of a video as the recogniser takes them."""
    from keyact.recognizer import Frame

    for index, timestamp, image in iter_frames(path, every):
        yield Frame(image, str(path), index, timestamp)


def timeline_table(timelines: list[VideoTimeline]) -> tuple[Table, int]:
    """A row per segment, and the number of those that are left out."""
    table = Table("Video", "Person", "From", "To", "Action", box=None)
    for column in (1, 2, 3):
        table.columns[column].justify = "right"
    rows = [
        (
            Path(timeline.source).name,
            f"#{person.track_id}",
            f"{segment.start:.1f} s",
            f"{segment.end:.1f} s",
            f"{segment.label} {segment.confidence:.0%}",
        )
        for timeline in timelines
        for person in timeline.people
        for segment in person.segments
    ]
    for row in rows[:MAX_ROWS]:
        table.add_row(*map(Text, row))
    return table, max(0, len(rows) - MAX_ROWS)


def _draw(
    path: Path,
    rate: float,
    every: int,
    results: Iterator[FrameResult],
    timeline: VideoTimeline,
    target: Path,
) -> None:
    from keyact.video import with_timeline

    # Without its end a damaged video has the same frames as before.
    frames = iter_frames(path, every)
    with VideoWriter(target, rate, path) as clip:
        for result in results:
            _, seconds, image = next(frames)
            clip.write(annotate(image, with_timeline(result, timeline, seconds)), seconds)
