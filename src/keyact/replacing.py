"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
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
