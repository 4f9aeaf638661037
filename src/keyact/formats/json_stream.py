"""Reading JSON larger than memory, value by value.

Written here, with the standard library, because key point files need what streaming parsers do
not give: AlphaPose's and OpenPose's writers put ``NaN`` into their files, which those refuse,
and an entry that is wrong must cost that entry and not the rest of the file. So a value's end is
found first, by its brackets and quotes, and the value is then parsed on its own.
"""

from __future__ import annotations

import codecs
import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from keyact.errors import InputError

MAX_FILE_BYTES = 64 * 2**30
MAX_VALUE_CHARS = 8 * 2**20
"""Longest entry that is parsed: 2,000 people of 136 joints in one photo, for example."""
MAX_DEPTH = 16
MAX_KEY_CHARS = 4096

_CHUNK = 256 * 2**10
_BRACKET_OR_QUOTE = re.compile(r'["\[\]{}]')
_QUOTE_OR_ESCAPE = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[,:\[\]{}\s]")
_KINDS = {
    "[": "a list",
    "{": "an object",
    '"': "a text",
    "-0123456789": "a number",
    "tfn": "true, false or null",
}
"""What a value's first character tells."""
_NOT_SPACE = re.compile(r"[^ \t\r\n]")


class BadEntry(ValueError):
    """One entry of a file cannot be used; ``str(error)`` says why, and the next can be read."""


class JsonStream:
    """A cursor in a JSON text. Arrays and objects are gone through, the values in them parsed.

    Whatever the caller does not read of an item is skipped.

    Parameters
    ----------
    file : the text, UTF-8, read from where it stands.
    name : what to call it in messages.

    Raises
    ------
    InputError : from every method, when the text is not JSON, ends early or is too large.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._dropped = 0  # characters before _text
        self._bytes = 0
        self._unread = True  # a value starts at the cursor

    def peek(self) -> str:
        """First character of what comes next, spaces left out; empty at the end."""
        while True:
            found = _NOT_SPACE.search(self._text, self._at)
            if found:
                self._at = found.start()
                return found[0]
            self._at = len(self._text)
            if not self._more(self._at):
                return ""

    def items(self) -> Iterator[int]:
        """Go through an array; yields each item's index with the cursor on the item."""
        self._open("[")
        if self._closed("]"):
            return
        for index in range(2**63):
            self._arrive()
            yield index
            self._leave()
            if self._ended("]"):
                return

    def members(self) -> Iterator[str]:
        """Go through an object; yields each key with the cursor on its value."""
        self._open("{")
        if self._closed("}"):
            return
        while True:
            if self.peek() != '"':
                raise self._broken("a key in quotes")
            text, problem = self._span(MAX_KEY_CHARS)
            try:
                key = json.loads(text) if problem is None else None
            except ValueError:
                key = None
            if not isinstance(key, str):
                raise self._broken(f"a key of at most {MAX_KEY_CHARS} characters before this")
            if self.peek() != ":":
                raise self._broken("a colon")
            self._at += 1
            self._arrive()
            yield key
            self._leave()
            if self._ended("}"):
                return

    def value(self) -> object:
        """Parse the value at the cursor.

        Raises
        ------
        BadEntry : it is too long, too deep or malformed; the cursor is behind it.
        """
        self._unread = False
        text, problem = self._span(MAX_VALUE_CHARS)
        if problem is not None:
            raise BadEntry(problem)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadEntry(f"not JSON: {error}") from None

    def skip(self) -> None:
        """Leave the value at the cursor out, however long it is."""
        self._unread = False
        self._span(0)

    def finish(self) -> None:
        """Check that nothing but space is left."""
        if self.peek():
            raise self._broken("the end of the file")

    def _arrive(self) -> None:
        if self.peek() in ("", ",", "]", "}", ":"):
            raise self._broken("a value")
        self._unread = True

    def _leave(self) -> None:
        if self._unread:
            self.skip()

    def _open(self, bracket: str) -> None:
        self._unread = False
        found = self.peek()
        if found != bracket:
            what = next((name for starts, name in _KINDS.items() if found and found in starts), "")
            if not what:
                raise self._broken(f"{bracket!r}")
            where = f" at character {self._dropped + self._at}" if self._dropped + self._at else ""
            raise InputError(f"{self._name}: expected {_KINDS[bracket]}{where}, found {what}")
        self._at += 1

    def _closed(self, bracket: str) -> bool:
        if self.peek() != bracket:
            return False
        self._at += 1
        return True

    def _ended(self, bracket: str) -> bool:
        if self._closed(bracket):
            return True
        if self.peek() != ",":
            raise self._broken(f"a comma or {bracket!r}")
        self._at += 1
        return False

    def _span(self, limit: int) -> tuple[str, str | None]:
        """Move behind the value at the cursor; its text, or why that was not kept."""
        first = self.peek()
        begin: int | None = self._at
        depth, deepest, quoted = 0, 0, False
        pattern = _BRACKET_OR_QUOTE if first in ('"', "[", "{") else _SCALAR_END
        while True:
            found = (_QUOTE_OR_ESCAPE if quoted else pattern).search(self._text, self._at)
            if found is None:
                if begin is not None and len(self._text) - begin > limit:
                    begin = None
                self._at = max(self._at, len(self._text))
                grown = self._more(self._at if begin is None else begin)
                begin = None if begin is None else 0
                if not grown:
                    if pattern is _SCALAR_END:
                        break
                    raise InputError(
                        f"{self._name}: ends in the middle of a value; is it complete?"
                    )
                continue
            self._at = found.end()
            if quoted:
                if found[0] == "\\":
                    self._at += 1  # whatever is escaped
                    continue
                quoted = False
            elif pattern is _SCALAR_END:
                self._at -= 1
                break
            elif found[0] == '"':
                quoted = True
                continue
            elif found[0] in "[{":
                depth += 1
                deepest = max(deepest, depth)
            else:
                depth -= 1
            if depth <= 0 and not quoted:
                break
        if begin is not None and self._at - begin > limit:
            begin = None
        if begin is None:
            return "", f"longer than {limit} characters"
        if deepest > MAX_DEPTH:
            return "", f"nested deeper than {MAX_DEPTH}"
        return self._text[begin : self._at], None

    def _more(self, keep: int) -> bool:
        """Read on; what stands before ``keep`` is let go and the cursor moves with the text."""
        text = ""
        while not text:
            data = self._file.read(_CHUNK)
            self._bytes += len(data)
            if self._bytes > MAX_FILE_BYTES:
                raise InputError(f"{self._name}: larger than {MAX_FILE_BYTES >> 30} GiB")
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{self._name}: not a JSON text in UTF-8: {error.reason}"
                ) from None
            if not data:
                break
        keep = min(keep, len(self._text))  # after an escape the cursor may be one further on
        self._text = self._text[keep:] + text
        self._dropped += keep
        self._at -= keep
        return bool(text)

    def _broken(self, expected: str) -> InputError:
        found = repr(self.peek()) if self.peek() else "the end of the file"
        where = self._dropped + self._at
        return InputError(
            f"{self._name}: not JSON: expected {expected} at character {where}, found {found}"
        )


@contextmanager
def open_json(path: str | Path) -> Iterator[JsonStream]:
    """Open a file as a stream.

    Raises
    ------
    InputError : it is missing, not a regular file, or cannot be read.
    """
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a folder, not a JSON file")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device could block or never end
            raise InputError(f"{path}: is not a regular file")
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: cannot be read: {reason}") from None
    with file:
        yield JsonStream(file, str(path))
