"""COCO key point annotations with their photos, to judge backends by.

Unlike `keyact.formats.coco`, which makes people of annotations, this keeps what COCO's evaluation
wants: areas, crowds, and people without a labelled joint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.formats.base import MAX_ENTRIES
from keyact.formats.json_stream import BadEntry, JsonStream, open_json
from keyact.formats.people import corner_box, number, photo_name, triplets
from keyact.media.photo_folder import PhotoFolder

MAX_ANNOTATIONS = 5_000_000
"""Photos, and people, in a file: they are held in memory."""
AREA_OF_BOX = 0.53
"""Of people without an area: a person's outline fills about half of the box."""

_JOINTS = 17


@dataclass(frozen=True, eq=False)
class AnnotatedPhoto:
    """One photo with its people who have a labelled joint.

    Attributes
    ----------
    path : of the photo.
    image_id : number of the photo among those read.
    boxes : (P, 4) float64 xyxy in pixels.
    keypoints : (P, 17, 3) float64 x, y in pixels and 0 (not labelled), 1 (hidden) or 2.
    areas : (P,) float64 in square pixels.
    entries : what COCO's evaluation is given, crowds and people without joints included.
    """

    path: Path
    image_id: int
    boxes: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    areas: NDArray[np.float64]
    entries: tuple[dict[str, Any], ...]


def read_photos(
    annotations: str | Path, images: str | Path, report: Callable[[str], None]
) -> list[AnnotatedPhoto]:
    """The photos of an annotation file that lie in a folder, with their people.

    Parameters
    ----------
    annotations : COCO's form: ``images`` and ``annotations`` with ``keypoints``, ``bbox``,
        ``area`` and ``iscrowd``.
    images : folder of the photos; see `PhotoFolder` for the names.
    report : is told of each photo that is not there, and so is left out.

    Raises
    ------
    InputError : the file or folder cannot be read, an annotation is wrong, or there is no photo
        with people to judge.
    """
    path = Path(annotations)
    names: dict[str, str] = {}
    people: dict[str, list[dict[str, Any]]] = {}
    listed = False
    with open_json(path) as stream:
        for key in stream.members():
            if key == "images":
                listed = True
                _read_images(stream, path, names)
            elif key == "annotations":
                _read_people(stream, path, people)
        stream.finish()
    if not listed:
        raise InputError(f"{path}: not COCO annotations: there is no images list in it")
    folder = PhotoFolder(images)
    photos: list[AnnotatedPhoto] = []
    for image, name in names.items():
        try:
            place = folder.find(name)
        except InputError as error:
            report(f"{path}: {error}")
            continue
        photos.append(_photo(place, len(photos) + 1, people.get(image, [])))
    if not any(len(photo.boxes) for photo in photos):
        raise InputError(f"{path}: none of the photos in {images} has a person with key points")
    return photos


def _photo(path: Path, image_id: int, entries: list[dict[str, Any]]) -> AnnotatedPhoto:
    judged = [entry for entry in entries if entry["num_keypoints"] and not entry["iscrowd"]]
    return AnnotatedPhoto(
        path=path,
        image_id=image_id,
        boxes=np.array([corner_box(entry["bbox"]) for entry in judged], np.float64).reshape(-1, 4),
        keypoints=np.array([entry["keypoints"] for entry in judged], np.float64).reshape(
            -1, _JOINTS, 3
        ),
        areas=np.array([entry["area"] for entry in judged], np.float64),
        entries=tuple(entries),
    )


def _read_images(stream: JsonStream, path: Path, names: dict[str, str]) -> None:
    for index in stream.items():
        if index >= MAX_ANNOTATIONS:
            raise InputError(f"{path}: more than {MAX_ANNOTATIONS} photos")
        try:
            entry = stream.value()
            if not isinstance(entry, dict):
                raise BadEntry("not an object with id and file_name")
            names[photo_name(entry.get("id"))] = photo_name(entry.get("file_name"))
        except BadEntry as error:
            raise InputError(f"{path}: image {index}: {error}") from None


def _read_people(stream: JsonStream, path: Path, people: dict[str, list[dict[str, Any]]]) -> None:
    for index in stream.items():
        if index >= min(MAX_ENTRIES, MAX_ANNOTATIONS):
            raise InputError(f"{path}: more than {MAX_ANNOTATIONS} annotations")
        try:
            entry = stream.value()
            if not isinstance(entry, dict):
                raise BadEntry("not an object with image_id and keypoints")
            if entry.get("category_id", 1) == 1:
                people.setdefault(photo_name(entry.get("image_id")), []).append(_person(entry))
        except BadEntry as error:
            raise InputError(f"{path}: annotation {index}: {error}") from None


def _person(entry: dict[str, Any]) -> dict[str, Any]:
    points = triplets(entry.get("keypoints"), "keypoints")
    if len(points) != _JOINTS:
        raise BadEntry(f"{len(points)} joints, but backends are compared in COCO's {_JOINTS}")
    if not np.isfinite(points).all() or not np.isin(points[:, 2], (0, 1, 2)).all():
        raise BadEntry("the third number of a key point is 0, 1 or 2 in annotations")
    x1, y1, x2, y2 = corner_box(entry.get("bbox"), "bbox")
    if not np.isfinite((x1, y1, x2, y2)).all():
        raise BadEntry("bbox is not finite")
    area = entry.get("area")
    return {
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1) * AREA_OF_BOX if area is None else number(area, "area"),
        "iscrowd": int(bool(entry.get("iscrowd"))),
        "keypoints": points.reshape(-1).tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
    }
