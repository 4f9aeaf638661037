"""The text stream that the row writers share."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TextIO

from typing_extensions import Self

from keyact.errors import KeyactError


class LineStream:
    """A file, or standard output, that hands every line over as soon as it is written.

    Parameters
    ----------
    target : str or Path
        File to write anew (missing folders are made), or ``"-"`` for standard output.

    Raises
    ------
    KeyactError
        If the file cannot be opened for writing.
    """

    def __init__(self, target: str | Path) -> None:
        self.name = str(target)
        self._stream: TextIO
        if self.name == "-":
            self._stream = sys.stdout
            return
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(target, "w", encoding="utf-8", newline="")  # noqa: SIM115
        except OSError as error:
            raise KeyactError(f"{target}: cannot be written: {error.strerror or error}") from None

    def write(self, text: str) -> None:
        """Write whole lines and flush: a later crash cannot lose or split what is out."""
        self._stream.write(text)
        self._stream.flush()

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._stream is not sys.stdout:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self.close()
