"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from keyact.errors import KeyactError

_KEPT = 48  # characters of a name; of up to four bytes each, where a name has at most 255


@contextmanager
def replacing(path: str | Path, error: type[KeyactError] = KeyactError) -> Iterator[Path]:
    """A file beside ``path`` to write, with its suffixes, moved over it when the block ends well.

    Whoever reads meanwhile finds the old file, and so does whoever comes after a crash. Missing
    folders are made.

    Parameters
    ----------
    error : raised when the system refuses to write there.
    """
    path = Path(path)
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as refusal:
        raise error(f"{path}: cannot be written: {refusal.strerror or refusal}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Where to write what will be ``path``: beside it, with its suffixes, of this process alone.

    The name holds the end of the other's, so that it is not too long for the disk if the other
    is not.
    """
    number = zlib.crc32(path.name.encode("utf-8", "surrogateescape"))
    return path.with_name(f".part-{os.getpid()}-{number:08x}-{path.name[-_KEPT:]}")


def same_place(path: str | Path) -> Path:
    """What is equal for paths of the same file, also of one that is not there yet.

    Letter case is ignored: it does not tell files apart on Windows and macOS.
    """
    return Path(str(Path(path).resolve()).casefold())


def spare(read: Iterable[str | Path], written: Mapping[str, str | Path | None]) -> None:
    """Refuse to write over what is read.

    Parameters
    ----------
    read : files.
    written : option -> file that it names, or None.

    Raises
    ------
    KeyactError : a file is both.
    """
    places = {same_place(path) for path in read}
    for option, path in written.items():
        if path is not None and same_place(path) in places:
            raise KeyactError(f"{path}: is to be read, so {option} must not write over it")
