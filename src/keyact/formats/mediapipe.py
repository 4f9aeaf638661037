"""MediaPipe's pose landmarks as JSON: a file per photo, named by its stem.

MediaPipe defines no file; these are the ways its results become JSON: the message
(``{"landmark": [...]}``), the JavaScript task's result (``{"landmarks": [[...]]}``) and Python's
(``{"pose_landmarks": [[...]]}``), a landmark being ``x, y, z, visibility`` with x and y as
fractions of the photo. ``visibility`` is the joint's score. The photo's size comes from ``width``
and ``height`` beside the landmarks, or from the photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.formats.base import MAX_PEOPLE, Format, Options, PhotoPeople
from keyact.formats.json_stream import BadEntry, open_json
from keyact.formats.people import layout_of, make_person, number
from keyact.results import Person

_LAYOUTS = {33: "blazepose33"}
_KEYS = ("landmark", "landmarks", "pose_landmarks", "poseLandmarks")


def read(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """One photo; see `keyact.formats.base.Format.read`."""
    fields: dict[str, object] = {}
    with open_json(path) as stream:
        for key in stream.members():
            if key in (*_KEYS, "width", "height"):
                try:
                    fields[key] = stream.value()
                except BadEntry as error:
                    raise InputError(f"{path}: {key}: {error}") from None
        stream.finish()
    try:
        bodies = _bodies(fields)
        size = _size(fields, path.stem, options)
    except BadEntry as error:
        options.report(f"{path}: {error}")
        return
    people: list[Person] = []
    for index, body in enumerate(bodies):
        try:
            if index >= MAX_PEOPLE:
                raise BadEntry(f"more than {MAX_PEOPLE} people")
            points = _points(body)
            points[:, :2] *= size
            people.append(make_person(points, layout_of(len(points), _LAYOUTS, options.layout)))
        except BadEntry as error:
            options.report(f"{path}: person {index}: {error}")
    yield PhotoPeople(path.stem, tuple(people), *size)


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
            alone = bool(found) and isinstance(found[0], dict) and "landmark" not in found[0]
            return [found] if alone else found
    raise BadEntry(f"has none of {', '.join(_KEYS)}")


def _points(body: object) -> NDArray[np.float64]:
    landmarks = body.get("landmark") if isinstance(body, dict) else body
    if not isinstance(landmarks, list) or not landmarks:
        raise BadEntry("not a list of landmarks")
    rows = []
    for index, landmark in enumerate(landmarks):
        if not isinstance(landmark, dict):
            raise BadEntry(f"landmark {index} is not an object with x, y and visibility")
        rows.append(
            [
                number(landmark.get(key), f"{key} of landmark {index}")
                for key in ("x", "y", "visibility")
            ]
        )
    return np.array(rows, np.float64)


def _size(fields: dict[str, object], image: str, options: Options) -> tuple[int, int]:
    if "width" in fields and "height" in fields:
        width, height = (number(fields[key], key) for key in ("width", "height"))
        if min(width, height) < 1 or max(width, height) >= 2**31:
            raise BadEntry("width and height are not a size in pixels")
        return int(width), int(height)
    size = options.size_of(image) if options.size_of else None
    if size is None:
        raise BadEntry("the photo's size is not known: no width and height, and no such photo")
    return size


FORMAT = Format(
    name="mediapipe",
    summary="MediaPipe pose landmarks: a file per photo, fractions of its size",
    read=read,
    layouts=_LAYOUTS,
    needs_size=True,
)
