"""MediaPipe's pose landmarks as JSON: a file per photo, named by its stem.

MediaPipe defines no file; these are the ways its results become JSON: the message
(``{"landmark": [...]}``), the JavaScript task's result (``{"landmarks": [[...]]}``), Python's
(``{"pose_landmarks": [[...]]}``), and the list of landmarks, or of poses, by itself. A landmark is
an object of ``x, y, z, visibility`` or a list of these, x and y as fractions of the photo.
``visibility`` is the joint's score; where there is none ``presence`` is, or 1. The photo's size
comes from ``width`` and ``height`` beside the landmarks, or from the photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.formats.base import MAX_PEOPLE, Format, Options, PhotoPeople
from keyact.formats.json_stream import BadEntry, JsonStream, open_json
from keyact.formats.people import layout_of, make_person, number, numbers
from keyact.results import Person

_LAYOUTS = {33: "blazepose33"}
_KEYS = ("landmark", "landmarks", "pose_landmarks", "poseLandmarks")
_MOST = 10.0
"""Widths of the photo that no landmark lies to the right; pixels of the smallest photo do."""


def read(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """One photo; see `keyact.formats.base.Format.read`."""
    with open_json(path) as stream:
        fields = _fields(stream, path)
        stream.finish()
    try:
        bodies = _bodies(fields)
        size = _size(fields, path.stem, len(bodies), options)
    except BadEntry as error:
        options.report(f"{path}: {error}")
        return
    people: list[Person] = []
    places: list[str] = []
    for index, body in enumerate(bodies):
        place = f"{path}: person {index}"
        try:
            if index >= MAX_PEOPLE:
                raise BadEntry(f"more than {MAX_PEOPLE} people")
            points = _points(body)
            points[:, :2] *= size
            layout = layout_of(len(points), _LAYOUTS, options.layout)
            people.append(make_person(points, layout, report=options.report, place=place))
            places.append(place)
        except BadEntry as error:
            options.report(f"{place}: {error}")
    yield PhotoPeople(path.stem, tuple(people), *size, places=tuple(places))


def _fields(stream: JsonStream, path: Path) -> dict[str, object]:
    """What the file says of its one photo; a list by itself is of landmarks or poses."""
    fields: dict[str, object] = {}
    key = "the list"
    try:
        if stream.peek() == "[":
            return {_KEYS[0]: stream.value()}
        for key in stream.members():
            if key in (*_KEYS, "width", "height"):
                fields[key] = stream.value()
    except BadEntry as error:
        raise InputError(f"{path}: {key}: {error}") from None
    return fields


def _bodies(fields: dict[str, object]) -> list[object]:
    for key in _KEYS:
        if key in fields:
            found = fields[key]
            if isinstance(found, dict):
                found = found.get("landmark")
            if found is None:  # MediaPipe's answer when it sees no one
                return []
            if not isinstance(found, list):
                raise BadEntry(f"{key} is not a list")
            first = found[0] if found else None
            if isinstance(first, dict) and first.keys() & _KEYS[1:]:
                raise BadEntry(
                    "a list of results, but a file is of one photo: write each into a file of its "
                    "own, named by the photo"
                )
            return [found] if _is_landmark(first) else found
    raise BadEntry(f"has none of {', '.join(_KEYS)}")


def _is_landmark(value: object) -> bool:
    if isinstance(value, dict):
        return "landmark" not in value
    return isinstance(value, list) and bool(value) and not isinstance(value[0], (list, dict))


def _points(body: object) -> NDArray[np.float64]:
    landmarks = body.get("landmark") if isinstance(body, dict) else body
    if not isinstance(landmarks, list) or not landmarks:
        raise BadEntry("not a list of landmarks")
    rows = []
    for index, landmark in enumerate(landmarks):
        if isinstance(landmark, dict):
            values = [landmark.get("x"), landmark.get("y"), _score(landmark)]
        elif isinstance(landmark, list) and 3 <= len(landmark) <= 5:  # visibility, presence
            values = [*landmark[:2], landmark[3] if len(landmark) > 3 else 1.0]
        else:
            raise BadEntry(f"landmark {index} is neither an object with x, y and visibility nor "
                           "a list [x, y, z, visibility]")  # fmt: skip
        rows.append(numbers(values, f"x, y, visibility of landmark {index}"))
    points = np.stack(rows)
    farthest = points[:, :2].max(initial=0, where=np.isfinite(points[:, :2]))
    if farthest > _MOST:
        raise BadEntry(
            f"coordinates up to {farthest:g}, but x and y are fractions of the photo, mostly 0 to "
            "1: divide pixels by its width and height"
        )
    return points


def _score(landmark: dict[str, object]) -> object:
    given = (landmark.get(key) for key in ("visibility", "presence"))
    return next((score for score in given if score is not None), 1.0)


def _size(fields: dict[str, object], image: str, people: int, options: Options) -> tuple[int, int]:
    if "width" in fields and "height" in fields:
        width, height = (number(fields[key], key) for key in ("width", "height"))
        if min(width, height) < 1 or max(width, height) >= 2**31:
            raise BadEntry("width and height are not a size in pixels")
        return int(width), int(height)
    why = "no width and height"
    try:
        if options.size_of is not None:
            return options.size_of(image)
    except InputError as error:
        why += f", and {error}"
    raise BadEntry(f"the photo's size is not known ({why}); people left out: {people}")


FORMAT = Format(
    name="mediapipe",
    summary="MediaPipe pose landmarks: a file per photo, fractions of its size",
    read=read,
    layouts=_LAYOUTS,
    needs_size=True,
)
