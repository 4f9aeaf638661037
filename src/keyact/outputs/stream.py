"""The text stream that the row writers share."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TextIO

from typing_extensions import Self

from keyact.errors import KeyactError


class LineStream:
    """A file, or standard output, that hands every line over as soon as it is written.

    A file that is there keeps what it holds until the first line comes or the writer is closed
    in good order, so that a run which cannot begin costs nothing.

    Parameters
    ----------
    target : str or Path
        File to write anew (missing folders are made), or ``"-"`` for standard output.

    Raises
    ------
    KeyactError
        If the file cannot be written.
    """

    def __init__(self, target: str | Path) -> None:
        self.name = str(target)
        self._begun = False
        self._stream: TextIO
        if self.name == "-":
            self._stream = sys.stdout
            return
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(target, "a", encoding="utf-8", newline="")  # noqa: SIM115
        except OSError as error:
            raise self._refused(error) from None

    def write(self, text: str) -> None:
        """Write whole lines and flush: a later crash cannot lose or split what is out."""
        self._begin()
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            if self._stream is sys.stdout:
                raise
            raise self._refused(error) from None

    def close(self) -> None:
        """Close the file; standard output stays open."""
        self._begin()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            self._begin()
        self._close()

    def _begin(self) -> None:
        """Drop what an earlier run left in the file."""
        if self._begun or self._stream is sys.stdout:
            return
        self._begun = True
        if stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode):  # a pipe has no earlier content
            self._stream.truncate(0)

    def _close(self) -> None:
        if self._stream is not sys.stdout:
            with contextlib.suppress(OSError):  # said when the line was written
                self._stream.close()

    def _refused(self, error: OSError) -> KeyactError:
        return KeyactError(f"{self.name}: cannot be written: {error.strerror or error}")
