"""AlphaPose's JSON: its default, ``cmu`` and ``open`` forms, read and written.

default
    A list with an entry per person: ``image_id`` (file name, or a number in its evaluations),
    ``category_id`` 1, ``keypoints`` ``[x, y, score, ...]``, ``score`` of the pose, ``box``
    ``[x, y, width, height]`` (newer versions) and ``idx`` of the track: a number, or nested in
    lists such as ``[[0.0]]``. Without tracking AlphaPose may write 0 for everyone.
cmu, open
    ``{"version": ..., "bodies": [{"joints": [...]}]}`` and ``{"version": ..., "people":
    [{"pose_keypoints_2d": [...]}]}`` per photo, in one object by ``image_id`` or in a file per
    photo in ``sep-json/``, named by what stands before the first dot of the photo's name. Always
    18 joints in OpenPose's COCO order; the neck is the mean of the shoulders' rows, scores
    included. There are no boxes, scores or tracks. Of a network with more than 17 joints
    AlphaPose writes its 18th joint as the neck (for Halpe the top of the head); the file does
    not tell, so that is read as a neck; `head_for_neck` guesses.
PoseFlow
    Its tracker's file: a list of ``keypoints``, ``scores`` (one number) and ``idx`` by photo.
    Read, not written.

Reading tells the form by the text. Read and written again, a file says the same within
keyact's rounding, joint scores kept in 0 to 1; what keyact writes is read back exactly. Other
fields, such as ``pred_xyz_jts`` of its 3D networks, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keyact.errors import InputError
from keyact.formats.base import MAX_ENTRIES, Format, Options, PhotoPeople
from keyact.formats.json_stream import BadEntry, JsonStream, open_json
from keyact.formats.people import (
    COMMON_LAYOUTS,
    Entry,
    corner_box,
    grouped,
    layout_of,
    make_person,
    number,
    photo_name,
    track_number,
    triplets,
)
from keyact.results import Person

KEYS = {"cmu": ("bodies", "joints"), "open": ("people", "pose_keypoints_2d")}
"""Form -> key of the list of people, and of a person's joints."""

_LAYOUTS = COMMON_LAYOUTS | {18: "openpose18", 68: "halpe68"}
_ROUNDED = 0.1
"""Pixels by which a mean of shoulders may be off in a file of few decimals."""


def read(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """Any of the forms; see `keyact.formats.base.Format.read`."""
    with open_json(path) as stream:
        if stream.peek() == "{":
            yield from _read_photos(stream, path, options)
        else:
            yield from grouped(_entries(stream, path, options))
        stream.finish()


def head_for_neck(person: Person) -> bool:
    """Whether the neck of OpenPose's 18 joints is one that AlphaPose took from Halpe's head.

    Then it is no mean of the shoulders, and further from them than the nose is.
    """
    if person.layout != "openpose18":
        return False
    nose, neck, right, left = person.keypoints[[0, 1, 2, 5]].astype(np.float64)
    middle = (right[:2] + left[:2]) / 2
    away = float(np.hypot(*(neck[:2] - middle)))
    seen = min(nose[2], neck[2], right[2], left[2]) > 0
    return seen and away > _ROUNDED and away > float(np.hypot(*(nose[:2] - middle)))


def _entries(stream: JsonStream, path: Path, options: Options) -> Iterator[Entry]:
    for index in stream.items():
        if index >= MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES} entries")
        place = f"{path}: entry {index}"
        try:
            entry = stream.value()
            if not isinstance(entry, dict):
                raise BadEntry("not an object with image_id and keypoints")
            if entry.get("category_id", 1) != 1:
                raise BadEntry("category_id is not 1, a person")
            image = entry.get("image_id")
            person = _person(entry, "score", place, options)
            yield Entry(photo_name(image), isinstance(image, int), person, place)
        except BadEntry as error:
            options.report(f"{place}: {error}")


def _person(entry: object, key: str, place: str, options: Options) -> Person:
    """A person of the default form; ``key`` is of the score."""
    if not isinstance(entry, dict):
        raise BadEntry("not an object with keypoints")
    points = triplets(entry.get("keypoints"), "keypoints")
    score = entry.get(key)
    return make_person(
        points,
        layout_of(len(points), _LAYOUTS, options.layout),
        box=corner_box(entry["box"]) if entry.get("box") is not None else None,
        score=None if score is None else number(score, key),
        track_id=track_number(entry.get("idx")),
        report=options.report,
        place=place,
    )


def _open_person(entry: object, key: str, place: str, options: Options) -> Person:
    """A person of the cmu and open forms; ``key`` is of the joints."""
    if not isinstance(entry, dict):
        raise BadEntry(f"not an object with {key}")
    points = triplets(entry.get(key), key)
    layout = layout_of(len(points), {18: "openpose18"}, options.layout)
    return make_person(points, layout, report=options.report, place=place)


def _read_photos(stream: JsonStream, path: Path, options: Options) -> Iterator[PhotoPeople]:
    """An object of photos, or one photo in a file of its own."""
    for index, key in enumerate(stream.members()):
        if index >= MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES} photos")
        try:
            value = stream.value()
            if isinstance(value, dict):
                yield _photo(photo_name(key), value, path, options)
            elif key in ("bodies", "people"):
                yield _photo(path.stem, {key: value}, path, options)
            elif isinstance(value, list):  # PoseFlow's
                yield _people(photo_name(key), value, _person, "scores", path, options)
            elif key != "version":
                raise BadEntry("not an object with people or bodies, nor a list of people")
        except BadEntry as error:
            options.report(f"{path}: {key[:80]!r}: {error}")


def _photo(image: str, photo: dict[str, object], path: Path, options: Options) -> PhotoPeople:
    listed, joints = next((keys for keys in KEYS.values() if keys[0] in photo), ("", ""))
    if not listed:
        raise BadEntry("has neither people nor bodies")
    entries = photo[listed]
    if not isinstance(entries, list):
        raise BadEntry(f"{listed} is not a list")
    return _people(image, entries, _open_person, joints, path, options)


def _people(
    image: str,
    entries: list[object],
    parse: Callable[[object, str, str, Options], Person],
    key: str,
    path: Path,
    options: Options,
) -> PhotoPeople:
    people, places = [], []
    for index, entry in enumerate(entries):
        place = f"{path}: {image!r}, person {index}"
        try:
            people.append(parse(entry, key, place, options))
            places.append(place)
        except BadEntry as error:
            options.report(f"{place}: {error}")
    return PhotoPeople(image, tuple(people), places=tuple(places))


FORMAT = Format(
    name="alphapose",
    summary="AlphaPose: alphapose-results.json or sep-json/, also --format cmu and open",
    read=read,
    layouts=_LAYOUTS,
    writes=True,
    tracks=True,
    boxes=True,
)
