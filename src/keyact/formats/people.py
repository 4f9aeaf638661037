"""From an entry's fields to a validated person.

What a format does not have is filled in: a missing box is drawn round the joints that were
found; a missing box score is the mean score of the joints; a missing pose score follows from
both by AlphaPose's formula. Joint scores above 1 (AlphaPose's and SimCC's peaks can be) count as
1, and below 0 as 0; a joint that is not finite was not seen. Pixels are rounded to 2 decimals and
scores to 4, as in all of keyact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from keyact.errors import InputError
from keyact.formats.base import MAX_NAME_CHARS, MAX_PEOPLE, PhotoPeople, Report, refuse
from keyact.formats.json_stream import BadEntry
from keyact.layouts import get_layout
from keyact.results import Person

Box = tuple[float, float, float, float]

COMMON_LAYOUTS = {17: "coco17", 26: "halpe26", 133: "coco133", 136: "halpe136"}
"""AlphaPose's and MMPose's skeletons by their number of joints."""

_MAX_NAMED = 5  # joints in a message
_MAX_PIXEL = float(np.finfo(np.float32).max)
_MAX_TRACK = 2**53  # a JSON number that every reader takes for the same integer

_UNNAMEABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control, half surrogate pairs


class Entry(NamedTuple):
    """A person of a list, before `grouped` joins those of a photo; see `PhotoPeople`."""

    image: str
    numbered: bool
    person: Person
    place: str


def number(value: object, what: str) -> float:
    """A finite number.

    Raises
    ------
    BadEntry : it is anything else.
    """
    if type(value) not in (int, float):
        raise BadEntry(f"{what} is not a number")
    try:
        single = float(value)  # type: ignore[arg-type]
    except OverflowError:
        single = math.inf
    if not math.isfinite(single):
        raise BadEntry(f"{what} is not finite")
    return single


def numbers(values: object, what: str, count: int | None = None) -> NDArray[np.float64]:
    """A list of numbers as (n,) float64; they may still be infinite or not a number."""
    if not isinstance(values, list) or not {type(value) for value in values} <= {int, float}:
        raise BadEntry(f"{what} is not a list of numbers")
    if count is not None and len(values) != count:
        raise BadEntry(f"{what} has {len(values)} numbers, not {count}")
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise BadEntry(f"{what} has a number out of range") from None


def triplets(values: object, what: str) -> NDArray[np.float64]:
    """``[x, y, score, x, y, score, ...]`` as (K, 3)."""
    flat = numbers(values, what)
    if not len(flat) or len(flat) % 3:
        raise BadEntry(f"{what} has {len(flat)} numbers, not 3 for each joint")
    return flat.reshape(-1, 3)


def layout_of(count: int, known: dict[int, str], wanted: str | None) -> str:
    """The layout that was asked for, or the known one of this number of joints."""
    if wanted is not None:
        if len(get_layout(wanted)) != count:
            raise BadEntry(f"{count} joints, but {wanted} has {len(get_layout(wanted))}")
        return wanted
    if count not in known:
        listed = ", ".join(f"{size} ({name})" for size, name in sorted(known.items()))
        raise BadEntry(f"{count} joints are of no known layout; known are {listed}")
    return known[count]


def corner_box(values: object, what: str = "box") -> Box:
    """``[x, y, width, height]`` as corners."""
    x, y, width, height = numbers(values, what, 4).tolist()
    if width < 0 or height < 0:
        raise BadEntry(f"{what} has a negative width or height")
    return x, y, x + width, y + height


def size_box(box: Box) -> list[float]:
    """Corners as ``[x, y, width, height]``, so that `corner_box` gives them back."""
    x1, y1, x2, y2 = box
    return [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]


def make_person(
    keypoints: NDArray[np.float64],
    layout: str,
    *,
    box: Box | None = None,
    box_score: float | None = None,
    score: float | None = None,
    track_id: int | None = None,
    report: Report = refuse,
    place: str = "",
) -> Person:
    """A person; see this module's docstring for what is filled in.

    Parameters
    ----------
    keypoints : (K, 3) x, y in pixels and score.
    report : is told of joints that are no place.
    place : file and index of the entry, for that.

    Raises
    ------
    BadEntry : it breaks a rule of `keyact.results.Person`.
    """
    placed: NDArray[np.bool_] = np.all(np.abs(keypoints) <= _MAX_PIXEL, axis=1)  # not of NaN
    keypoints = np.where(placed[:, None], keypoints, 0)
    joints = keypoints[:, 2] = keypoints[:, 2].clip(0, 1)
    if box is None:
        found = keypoints[joints > 0, :2]
        if not len(found):
            raise BadEntry("there is neither a box nor a joint that was found")
        x1, y1 = found.min(0).tolist()
        x2, y2 = found.max(0).tolist()
        box = (x1, y1, x2, y2)
    own = float(joints.mean() + 1.25 * joints.max())  # as in keyact.pose.score
    if box_score is None:
        box_score = float(joints.mean()) if score is None else score - own
    box_score = min(max(box_score, 0.0), 1.0)
    try:
        person = Person(
            box=box,
            box_score=box_score,
            score=own + box_score if score is None else score,
            layout=layout,
            keypoints=keypoints,  # type: ignore[arg-type]
            track_id=track_id,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise BadEntry(f"{where}: {message}" if where else message) from None
    if not placed.all():
        lost, joint_names = np.flatnonzero(~placed).tolist(), get_layout(layout).joints
        names = ", ".join(f"{joint} ({joint_names[joint]})" for joint in lost[:_MAX_NAMED])
        more = f" and {len(lost) - _MAX_NAMED} more" if len(lost) > _MAX_NAMED else ""
        report(f"{place}: joints taken as not seen, their numbers are not finite: {names}{more}")
    return person


def track_number(value: object) -> int | None:
    """A track's number; AlphaPose writes ``3``, ``3.0``, ``[3.0]`` and ``[[3.0], [3.0]]``."""
    while isinstance(value, list) and value:
        value = value[0]
    if value is None or value == []:
        return None
    track = number(value, "the track number")
    if track != int(track) or abs(track) > _MAX_TRACK:
        raise BadEntry("the track number is not a whole number")
    return int(track)


def photo_name(value: object, what: str = "image_id") -> str:
    """A photo's name or number as text."""
    if type(value) is int and abs(value) <= _MAX_TRACK:
        return str(value)
    if not isinstance(value, str) or not value:
        raise BadEntry(f"{what} is {'missing' if value is None else 'neither a name nor a number'}")
    if len(value) > MAX_NAME_CHARS:
        raise BadEntry(f"{what} is longer than {MAX_NAME_CHARS} characters")
    if _UNNAMEABLE.search(value):
        raise BadEntry(f"{what} has characters that no file name has")
    return value


def grouped(entries: Iterable[Entry]) -> Iterator[PhotoPeople]:
    """Join entries of the same photo that follow each other, `MAX_PEOPLE` at most.

    Of a file that breaks off, the people before the break are still given.
    """
    current: list[Entry] = []
    broken: InputError | None = None
    try:
        for entry in entries:
            if current and (entry[:2] != current[0][:2] or len(current) == MAX_PEOPLE):
                yield _photo(current)
                current = []
            current.append(entry)
    except InputError as error:
        broken = error
    if current:
        yield _photo(current)
    if broken is not None:
        raise broken


def _photo(entries: list[Entry]) -> PhotoPeople:
    return PhotoPeople(
        entries[0].image,
        tuple(entry.person for entry in entries),
        places=tuple(entry.place for entry in entries),
        numbered=entries[0].numbered,
    )
