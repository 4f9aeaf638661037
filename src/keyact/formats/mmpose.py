"""MMPose's JSON: the inferencer's ``predictions/NAME.json`` and the demos' ``results_NAME.json``.

The first is a list of instances, the second has it as ``instance_info``. An instance has
``keypoints`` ``[[x, y], ...]``, ``keypoint_scores``, and of a top-down network ``bbox``
``[[x1, y1, x2, y2]]`` and ``bbox_score``. Of a video the list is of ``frame_id`` and
``instances``. The skeleton is told by the number of joints: COCO, COCO-WholeBody or Halpe.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keyact.errors import InputError
from keyact.formats.base import MAX_ENTRIES, MAX_PEOPLE, Format, Options, PhotoPeople
from keyact.formats.json_stream import BadEntry, JsonStream, open_json
from keyact.formats.people import COMMON_LAYOUTS, layout_of, make_person, number, numbers
from keyact.results import Person

_PREFIX = "results_"


def read(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """One photo or video; see `keyact.formats.base.Format.read`."""
    with open_json(path) as stream:
        if stream.peek() != "{":
            yield from _read(stream, path, path.stem, options)
        else:
            seen = False
            for key in stream.members():
                if key == "instance_info":
                    seen = True
                    yield from _read(stream, path, path.stem.removeprefix(_PREFIX), options)
            if not seen:
                raise InputError(f"{path}: not MMPose's JSON: there is no instance_info in it")
        stream.finish()


def _read(stream: JsonStream, path: Path, image: str, options: Options) -> Iterator[PhotoPeople]:
    people: list[Person] = []
    places: list[str] = []
    frames = False
    for index in stream.items():
        if index >= MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES} entries")
        place = f"{path}: instance {index}"
        try:
            entry = stream.value()
            if isinstance(entry, dict) and "instances" in entry:
                frames = True
                yield _frame(entry, image, f"{path}: frame {index}", options)
                continue
            people.append(_instance(entry, place, options))
            places.append(place)
        except BadEntry as error:
            options.report(f"{place}: {error}")
        if len(people) == MAX_PEOPLE:
            yield PhotoPeople(image, tuple(people), places=tuple(places))
            people, places = [], []
    if people or not frames:
        yield PhotoPeople(image, tuple(people), places=tuple(places))


def _frame(entry: dict[str, object], image: str, where: str, options: Options) -> PhotoPeople:
    frame = number(entry.get("frame_id"), "frame_id")
    if frame != int(frame) or frame < 0:
        raise BadEntry("frame_id is not a frame's number")
    instances = entry["instances"]
    if not isinstance(instances, list):
        raise BadEntry("instances is not a list")
    people, places = [], []
    for index, instance in enumerate(instances):
        place = f"{where}, instance {index}"
        try:
            if index >= MAX_PEOPLE:
                raise BadEntry(f"more than {MAX_PEOPLE} people")
            people.append(_instance(instance, place, options))
            places.append(place)
        except BadEntry as error:
            options.report(f"{place}: {error}")
    return PhotoPeople(image, tuple(people), frame=int(frame), places=tuple(places))


def _instance(entry: object, place: str, options: Options) -> Person:
    if not isinstance(entry, dict):
        raise BadEntry("not an object with keypoints and keypoint_scores")
    rows = entry.get("keypoints")
    if not isinstance(rows, list) or not rows:
        raise BadEntry("keypoints is not a list of [x, y]")
    scores = numbers(entry.get("keypoint_scores"), "keypoint_scores", len(rows))
    points = np.stack([numbers(row, f"key point {i}", 2) for i, row in enumerate(rows)])
    score = entry.get("bbox_score")
    return make_person(
        np.column_stack([points, scores]),
        layout_of(len(points), COMMON_LAYOUTS, options.layout),
        box=_box(entry.get("bbox")),
        box_score=None if score is None else number(score, "bbox_score"),
        report=options.report,
        place=place,
    )


def _box(value: object) -> tuple[float, float, float, float] | None:
    while isinstance(value, list) and len(value) == 1:  # MMPose writes it as a list of one
        value = value[0]
    if value is None:
        return None
    x1, y1, x2, y2 = numbers(value, "bbox", 4).tolist()
    return x1, y1, x2, y2


FORMAT = Format(
    name="mmpose",
    summary="MMPose: predictions/NAME.json of the inferencer, results_NAME.json of the demos",
    read=read,
    layouts=COMMON_LAYOUTS,
    boxes=True,
)
