"""JSON Lines: one frame result per line."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Self

from keyact.outputs.stream import LineStream
from keyact.results import FrameResult


class JsonLinesWriter:
    """Write frame results as they come, one JSON line each.

    Every line is flushed when it is written, so a run that dies keeps all results before it.

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

    def write(self, result: FrameResult) -> None:
        """Append one result."""
        self._lines.write(result.to_json() + "\n")

    def close(self) -> None:
        """Close the file; standard output stays open."""
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.__exit__(*error)
