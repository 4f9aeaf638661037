"""CSV: one row per person and frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import Self

from keyact.outputs.stream import LineStream
from keyact.results import Action, FrameResult

COLUMNS = (
    "source",
    "index",
    "timestamp",
    "person",
    "x1",
    "y1",
    "x2",
    "y2",
    "score",
    "posture",
    "action",
    "probability",
    "image_action",
    "image_probability",
)


class CsvWriter:
    """Write frame results as a table with the columns :data:`COLUMNS`.

    ``person`` is the track id, or the person's number in the frame from 0. A frame without people
    gives one row whose person columns are empty. ``probability`` is that of the best action, also
    where ``action`` is ``unknown``. Rows are flushed frame by frame.

    Parameters
    ----------
    target : str or Path
        File to write anew, or ``"-"`` for standard output.

    Raises
    ------
    KeyactError
        If the file cannot be opened for writing.
    """

    def __init__(self, target: str | Path) -> None:
        self._lines = LineStream(target)
        self._headed = False

    def write(self, result: FrameResult) -> None:
        """Append the rows of one result."""
        self._head()
        self._write(_rows(result))

    def close(self) -> None:
        """Close the file, which has its header in any case; standard output stays open."""
        self._head()
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._head()
        self._lines.__exit__(*error)

    def _head(self) -> None:
        if not self._headed:
            self._headed = True
            self._write([COLUMNS])

    def _write(self, rows: Iterator[tuple[object, ...]] | list[tuple[str, ...]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._lines.write(text.getvalue())


def _rows(result: FrameResult) -> Iterator[tuple[object, ...]]:
    frame = (result.source, result.index, result.timestamp)
    image = (result.image_action, _best(result.image_actions))
    if not result.people:
        yield (*frame, *[None] * 9, *image)
    for number, person in enumerate(result.people):
        yield (
            *frame,
            number if person.track_id is None else person.track_id,
            *person.box,
            person.score,
            person.posture,
            person.action,
            _best(person.actions),
            *image,
        )


def _best(actions: tuple[Action, ...]) -> float | None:
    return actions[0].probability if actions else None
