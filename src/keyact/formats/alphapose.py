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
    not tell, so that is read as a neck.

Reading tells the form by the text. Read and written again, a file says the same within
keyact's rounding, joint scores kept in 0 to 1; what keyact writes is read back exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyact.errors import InputError
from keyact.formats.base import MAX_ENTRIES, Format, Options, PhotoPeople
from keyact.formats.json_stream import BadEntry, JsonStream, open_json
from keyact.formats.people import (
    COMMON_LAYOUTS,
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


def read(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """Any of the forms; see `keyact.formats.base.Format.read`."""
    with open_json(path) as stream:
        if stream.peek() == "{":
            yield from _read_photos(stream, path, options)
        else:
            yield from grouped(_entries(stream, path, options))
        stream.finish()


def _entries(stream: JsonStream, path: Path, options: Options) -> Iterator[tuple[str, Person]]:
    for index in stream.items():
        if index >= MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES} entries")
        try:
            yield _entry(stream.value(), options)
        except BadEntry as error:
            options.report(f"{path}: entry {index}: {error}")


def _entry(entry: object, options: Options) -> tuple[str, Person]:
    if not isinstance(entry, dict):
        raise BadEntry("not an object with image_id and keypoints")
    if entry.get("category_id", 1) != 1:
        raise BadEntry("category_id is not 1, a person")
    image = photo_name(entry.get("image_id"))
    points = triplets(entry.get("keypoints"), "keypoints")
    score = entry.get("score")
    return image, make_person(
        points,
        layout_of(len(points), _LAYOUTS, options.layout),
        box=corner_box(entry["box"]) if entry.get("box") is not None else None,
        score=None if score is None else number(score, "score"),
        track_id=track_number(entry.get("idx")),
    )


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
            elif key != "version":
                raise BadEntry("not an object with people or bodies")
        except BadEntry as error:
            options.report(f"{path}: {key[:80]!r}: {error}")


def _photo(image: str, photo: dict[str, object], path: Path, options: Options) -> PhotoPeople:
    listed, joints = next((keys for keys in KEYS.values() if keys[0] in photo), ("", ""))
    if not listed:
        raise BadEntry("has neither people nor bodies")
    entries = photo[listed]
    if not isinstance(entries, list):
        raise BadEntry(f"{listed} is not a list")
    people = []
    for index, entry in enumerate(entries):
        try:
            if not isinstance(entry, dict):
                raise BadEntry(f"not an object with {joints}")
            points = triplets(entry.get(joints), joints)
            layout = layout_of(len(points), {18: "openpose18"}, options.layout)
            people.append(make_person(points, layout))
        except BadEntry as error:
            options.report(f"{path}: {image!r}, person {index}: {error}")
    return PhotoPeople(image, tuple(people))


FORMAT = Format(
    name="alphapose",
    summary="AlphaPose: alphapose-results.json or sep-json/, also --format cmu and open",
    read=read,
    layouts=_LAYOUTS,
    writes=True,
    tracks=True,
    boxes=True,
)
