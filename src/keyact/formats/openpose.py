"""OpenPose's JSON: a file per frame, ``people[].pose_keypoints_2d``.

BODY_25 and COCO (18 joints) are told apart by their number. The file name is the photo's stem and
``_keypoints``. ``person_id`` is -1 without tracking. ``--keypoint_scale`` must be OpenPose's
default, pixels of the source: the file does not say, and fractions cannot be told from pixels.
Hands and face are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyact.errors import InputError
from keyact.formats.base import MAX_ENTRIES, MAX_PEOPLE, Format, Options, PhotoPeople
from keyact.formats.json_stream import BadEntry, open_json
from keyact.formats.people import layout_of, make_person, track_number, triplets
from keyact.results import Person

_LAYOUTS = {18: "openpose18", 25: "openpose25"}
_SUFFIX = "_keypoints"


def read(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """One frame; see `keyact.formats.base.Format.read`."""
    image = path.stem.removesuffix(_SUFFIX)
    people: list[Person] = []
    places: list[str] = []
    seen = False
    with open_json(path) as stream:
        for key in stream.members():
            if key != "people":
                continue
            seen = True
            for index in stream.items():
                if index >= MAX_ENTRIES:
                    raise InputError(f"{path}: more than {MAX_ENTRIES} entries")
                place = f"{path}: person {index}"
                try:
                    people.append(_entry(stream.value(), place, options))
                    places.append(place)
                except BadEntry as error:
                    options.report(f"{place}: {error}")
                if len(people) == MAX_PEOPLE:
                    yield PhotoPeople(image, tuple(people), places=tuple(places))
                    people, places = [], []
        stream.finish()
    if not seen:
        raise InputError(f"{path}: not OpenPose's JSON: there is no people list in it")
    yield PhotoPeople(image, tuple(people), places=tuple(places))


def _entry(entry: object, place: str, options: Options) -> Person:
    if not isinstance(entry, dict):
        raise BadEntry("not an object with pose_keypoints_2d")
    # The key of OpenPose before 1.3.
    points = triplets(
        entry.get("pose_keypoints_2d", entry.get("pose_keypoints")), "pose_keypoints_2d"
    )
    track = track_number(entry.get("person_id"))
    return make_person(
        points,
        layout_of(len(points), _LAYOUTS, options.layout),
        track_id=None if track is None or track < 0 else track,
        report=options.report,
        place=place,
    )


FORMAT = Format(
    name="openpose",
    summary="OpenPose --write_json: a folder of NAME_keypoints.json, BODY_25 or COCO",
    read=read,
    layouts=_LAYOUTS,
    tracks=True,
)
