"""COCO key points: results of a network, and human annotations.

Results are a list of ``image_id, category_id, keypoints, score``; the number ``image_id`` gets
its file name and size from ``options.annotations`` when given, and is the photo's name otherwise.

Annotations have ``images`` and ``annotations``. Their ``v`` is 0 (not labelled), 1 (labelled but
hidden) or 2 (visible), which become the joint scores 0, `HIDDEN_SCORE` and 1. Crowds, whose one
box stands for many people, are left out without a word, as COCO's own evaluation does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    triplets,
)
from keyact.results import Person

HIDDEN_SCORE = 0.5
"""Score of a joint that is labelled but hidden."""
MAX_IMAGES = 5_000_000
"""Photos that an annotation file may name: they are held in memory."""

_MAX_SIDE = 2**31 - 1
_Parse = Callable[[dict[str, object], str, Options], Person]


@dataclass(frozen=True)
class _Image:
    name: str
    width: int | None
    height: int | None


def read_results(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """A network's results; see `keyact.formats.base.Format.read`."""
    images = None if options.annotations is None else _images(options.annotations, options)
    with open_json(path) as stream:
        if stream.peek() == "{":
            raise InputError(
                f"{path}: a list of results is expected; for annotations type coco-annotations"
            )
        yield from _named(grouped(_entries(stream, path, options, _result)), images, path, options)
        stream.finish()


def read_annotations(path: Path, options: Options) -> Iterator[PhotoPeople]:
    """Human annotations; see `keyact.formats.base.Format.read`."""
    images = _images(path, options)
    with open_json(path) as stream:
        for key in stream.members():
            if key == "annotations":
                entries = _entries(stream, path, options, _annotation)
                yield from _named(grouped(entries), images, path, options)
        stream.finish()


def _entries(stream: JsonStream, path: Path, options: Options, parse: _Parse) -> Iterator[Entry]:
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
            if not entry.get("iscrowd"):
                image = entry.get("image_id")
                person = parse(entry, place, options)
                yield Entry(photo_name(image), isinstance(image, int), person, place)
        except BadEntry as error:
            options.report(f"{place}: {error}")


def _result(entry: dict[str, object], place: str, options: Options) -> Person:
    points = triplets(entry.get("keypoints"), "keypoints")
    score = entry.get("score")
    score = None if score is None else number(score, "score")
    return make_person(
        points,
        layout_of(len(points), COMMON_LAYOUTS, options.layout),
        box=corner_box(entry["bbox"], "bbox") if entry.get("bbox") is not None else None,
        box_score=score,
        score=score,
        report=options.report,
        place=place,
    )


def _annotation(entry: dict[str, object], place: str, options: Options) -> Person:
    points = triplets(entry.get("keypoints"), "keypoints")
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise BadEntry("the third number of a key point is 0, 1 or 2 in annotations")
    points[:, 2] = np.array([0, HIDDEN_SCORE, 1])[points[:, 2].astype(int)]
    return make_person(
        points,
        layout_of(len(points), COMMON_LAYOUTS, options.layout),
        box=corner_box(entry["bbox"], "bbox") if entry.get("bbox") is not None else None,
        box_score=1.0,
        report=options.report,
        place=place,
    )


def _images(path: Path, options: Options) -> dict[str, _Image]:
    """Number -> photo, from an annotation file."""
    images: dict[str, _Image] = {}
    listed = False
    with open_json(path) as stream:
        for key in stream.members():
            if key != "images":
                continue
            listed = True
            for index in stream.items():
                if index >= MAX_IMAGES:
                    raise InputError(f"{path}: more than {MAX_IMAGES} photos")
                try:
                    entry = stream.value()
                    if not isinstance(entry, dict):
                        raise BadEntry("not an object with id and file_name")
                    images[photo_name(entry.get("id"), "id")] = _Image(
                        photo_name(entry.get("file_name"), "file_name"),
                        _side(entry.get("width"), "width"),
                        _side(entry.get("height"), "height"),
                    )
                except BadEntry as error:
                    options.report(f"{path}: image {index}: {error}")
    if not listed:
        raise InputError(f"{path}: not COCO annotations: there is no images list in it")
    return images


def _side(value: object, what: str) -> int | None:
    if value is None:
        return None
    side = number(value, what)
    if side != int(side) or not 0 < side <= _MAX_SIDE:
        raise BadEntry(f"{what} is not a size in pixels")
    return int(side)


def _named(
    photos: Iterator[PhotoPeople], images: dict[str, _Image] | None, path: Path, options: Options
) -> Iterator[PhotoPeople]:
    for photo in photos:
        if images is None:
            yield photo
        elif photo.image in images:
            image = images[photo.image]
            yield replace(
                photo, image=image.name, width=image.width, height=image.height, numbered=False
            )
        else:
            options.report(
                f"{photo.places[0]}: image_id {photo.image}: the annotations have no such photo; "
                f"people left out: {len(photo.people)}"
            )


RESULTS = Format(
    name="coco",
    summary="COCO key point results: a list of image_id, keypoints, score",
    read=read_results,
    layouts=COMMON_LAYOUTS,
    boxes=True,
)
ANNOTATIONS = Format(
    name="coco-annotations",
    summary="COCO key point annotations by people: images and annotations",
    read=read_annotations,
    layouts=COMMON_LAYOUTS,
    boxes=True,
)
