"""What every key point format looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keyact.errors import InputError
from keyact.results import Person

MAX_ENTRIES = 50_000_000
"""Entries per file."""
MAX_FILES = 5_000_000
"""Files per folder."""
MAX_PEOPLE = 1000
"""People per photo; more are reported and left out."""
MAX_NAME_CHARS = 1024
"""Length of a photo's name."""


@dataclass(frozen=True)
class PhotoPeople:
    """The people of one photo as a file lists them: what every format is read into.

    Not yet a `keyact.results.FrameResult`, because most formats do not know the photo's size.

    Attributes
    ----------
    image : how the file names the photo: a file name, its stem, or a number.
    people : validated as in keyact's own results, in pixels of the photo. What a format does
        not have is filled in: see `keyact.formats.people`.
    width, height : the photo's size in pixels, where the file gives it.
    frame : number of the frame, where the file is about a video.
    places : of each of the people, file and index, for messages.
    numbered : ``image`` is a number in the file, as COCO's ids, and no name.
    """

    image: str
    people: tuple[Person, ...]
    width: int | None = None
    height: int | None = None
    frame: int | None = None
    places: tuple[str, ...] = ()
    numbered: bool = False


def refuse(message: str) -> None:
    """The strict `Report`: the first bad entry ends the reading."""
    raise InputError(message)


Report = Callable[[str], None]
"""Is told, in one line, of an entry, or a part of one, that was left out."""
SizeOf = Callable[[str], "tuple[int, int]"]
"""Width and height of a photo by its name in the file; `InputError` says why there are none."""


@dataclass(frozen=True)
class Options:
    """How to read a file.

    Attributes
    ----------
    layout : name of the skeleton; None tells it by the number of joints.
    report : what to do with entries that cannot be used.
    size_of : for formats whose coordinates are fractions of the photo.
    annotations : COCO annotations that give the photos' names, for formats that use numbers.
    """

    layout: str | None = None
    report: Report = refuse
    size_of: SizeOf | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Format:
    """One key point format; ``tests/formats/test_format_contract.py`` holds it to this.

    Attributes
    ----------
    name : what the user types.
    summary : for help texts.
    read : one file. Yields a photo's people together as long as they stand together in the
        file; a photo whose people stand apart comes more than once. Memory does not grow with
        the file. Entries that cannot be used go to ``options.report``, with file and index;
        of a joint that is no place, the joint does, and its person is kept without it.
    layouts : number of joints -> layout. What else has these numbers needs ``options.layout``.
    writes : keyact can write it.
    tracks : it can say who is who in the next frame.
    boxes : it has the person's box; otherwise the box is drawn round the joints.
    needs_size : its coordinates are fractions of the photo's size.
    """

    name: str
    summary: str
    read: Callable[[Path, Options], Iterator[PhotoPeople]]
    layouts: dict[int, str]
    writes: bool = False
    tracks: bool = False
    boxes: bool = False
    needs_size: bool = False
