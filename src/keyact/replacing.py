"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keyact.errors import KeyactError


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
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as refusal:
        raise error(f"{path}: cannot be written: {refusal.strerror or refusal}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
