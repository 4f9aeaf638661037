"""Finding photos and videos on disk."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keyact.errors import InputError

_HEIC_SUFFIXES = frozenset({".heic", ".heif"})
PHOTO_SUFFIXES = _HEIC_SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm",
}  # fmt: skip
"""HEIC among them: it cannot be read, but a phone's photos must not vanish without a word."""
VIDEO_SUFFIXES = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".avi", ".mkv", ".webm", ".ogv", ".mpg", ".mpeg",
        ".ts", ".mts", ".m2ts", ".wmv", ".flv",
    }
)  # fmt: skip
Unreadable = Callable[[str, InputError], None]
_log = logging.getLogger("keyact")


@dataclass(frozen=True)
class MediaItem:
    """One file to work on.

    Attributes
    ----------
    path : Path
        As given, or below the folder as given.
    kind : {"photo", "video"}
        Told by the suffix; a file named outright with any other suffix is tried as a photo.
    """

    path: Path
    kind: Literal["photo", "video"]

    @property
    def place(self) -> str:
        """Equal for "a/../b" and "b"; links stay files of their own."""
        return os.path.normcase(os.path.abspath(self.path))


def find_media(
    paths: Sequence[str | Path], unreadable: Unreadable | None = None
) -> list[MediaItem]:
    """List the photos and videos that paths stand for.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, folders (searched with their subfolders, hidden entries left out) and glob
        patterns (``**`` allowed).
    unreadable : callable, optional
        Is given the path of each subfolder that cannot be read, and the error; the rest is still
        found. By default it is a warning in the log ``keyact``.

    Returns
    -------
    list of MediaItem
        In the order given, folders and patterns sorted by name; every file once.

    Raises
    ------
    InputError
        If a path does not exist or is a folder that cannot be read, a pattern matches nothing,
        or no photo or video is found.
    """
    found: dict[str, MediaItem] = {}
    for path in paths:
        for file in _expand(str(path), unreadable or _warn):
            item = MediaItem(file, _kind(file) or "photo")
            found.setdefault(item.place, item)
    if not found:
        where = ", ".join(str(path) for path in paths) or "no path given"
        raise InputError(
            f"{where}: no photo or video found; photos end in "
            f"{_listed(PHOTO_SUFFIXES - _HEIC_SUFFIXES)}, videos in {_listed(VIDEO_SUFFIXES)}"
        )
    return list(found.values())


def _expand(path: str, unreadable: Unreadable) -> Iterator[Path]:
    # What exists is taken literally, so that "holiday [1].jpg" is a file and not a pattern.
    try:
        exists = os.path.exists(path)
    except ValueError:  # a null character
        exists = False
    if exists:
        yield from _walk(path, unreadable, path) if os.path.isdir(path) else (Path(path),)
        return
    if glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        for match in matches:
            if os.path.isdir(match):
                yield from _walk(match, unreadable)
            elif _kind(match):
                yield Path(match)
        if matches:
            return
        raise InputError(f"{path}: no file matches this pattern")
    if re.match("[a-z]+://", path):
        raise InputError(
            f"{path}: is a web address; download it and give its path, or for a live stream: "
            "keyact live ADDRESS"
        )
    raise InputError(f"{path}: no such file or folder")


def _warn(_: str, error: InputError) -> None:
    _log.warning("left out: %s", error)


def _walk(folder: str, unreadable: Unreadable, asked_for: str | None = None) -> Iterator[Path]:
    """Media files below a folder, sorted; links are followed, each real folder visited once."""
    visited: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        place = str(error.filename)
        reason = InputError(f"{place}: cannot be read: {error.strerror or error}")
        if place == asked_for:
            raise reason
        unreadable(place, reason)

    for parent, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        status = os.stat(parent)
        identity = (status.st_dev, status.st_ino)
        if identity in visited:  # a link back up, or a second way to the same folder
            folders.clear()
            continue
        visited.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and _kind(name):
                yield Path(parent, name)


def _kind(path: str | Path) -> Literal["photo", "video"] | None:
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "photo" if suffix in PHOTO_SUFFIXES else None


def _listed(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
