"""COCO key point annotations with their photos, to judge backends by.

Unlike `keyact.formats.coco`, which makes people of annotations, this keeps what COCO's evaluation
wants: areas, crowds, and people without a labelled joint.
"""

from __future__ import annotations

from collections import Counter
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
    size : width and height of the photo that was annotated, where the file tells them.
    estimated : of ``areas``, how many are `AREA_OF_BOX` because the file has none above 0.
    """

    path: Path
    image_id: int
    boxes: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    areas: NDArray[np.float64]
    entries: tuple[dict[str, Any], ...]
    size: tuple[int, int] | None = None
    estimated: int = 0


@dataclass(frozen=True)
class _Image:
    name: str
    size: tuple[int, int] | None


def read_photos(
    annotations: str | Path, images: str | Path, report: Callable[[str], None]
) -> list[AnnotatedPhoto]:
    """The photos of an annotation file that lie in a folder, with their people.

    Parameters
    ----------
    annotations : COCO's form: ``images`` and ``annotations`` with ``keypoints``, ``bbox``,
        ``area`` and ``iscrowd``. People are of the category called person in ``categories``, or
        of the only one there with key points, or of 1.
    images : folder of the photos; see `PhotoFolder` for the names. Of a path that is not there,
        such as ``val2017/1.jpg``, the last part is looked up.
    report : is told of each photo that is not there, and of people of a photo that the file does
        not list: they are left out.

    Raises
    ------
    InputError : the file or folder cannot be read, an annotation is wrong, or there is no photo
        with people to judge.
    """
    path = Path(annotations)
    listed, category = _read_head(path)
    people = _read_people(path, category)
    folder = PhotoFolder(images)
    for key, entries in people.items():
        if key not in listed:
            lost = f"{len(entries)} annotation(s) left out"
            report(f"{path}: image_id {key}: no image has it; {lost}")
    last_parts = Counter(_last_part(image.name) for image in listed.values())
    photos: list[AnnotatedPhoto] = []
    for key, image in listed.items():
        try:
            place = _find(folder, image.name, last_parts)
        except InputError as error:
            report(f"{path}: {error}")
            continue
        photos.append(_photo(place, len(photos) + 1, people.get(key, []), image.size))
    if listed and not photos:
        raise InputError(
            f"{path}: none of its {len(listed)} photos was found in {images}; "
            "give the folder that holds them"
        )
    if not people:
        raise InputError(f"{path}: no annotation has category_id {category}, that of people")
    if not any(len(photo.boxes) for photo in photos):
        raise InputError(f"{path}: none of the photos in {images} has a person with key points")
    return photos


def _find(folder: PhotoFolder, name: str, last_parts: Counter[str]) -> Path:
    """The photo of a name, or else of its last part, if no other photo's name ends so."""
    try:
        return folder.find(name)
    except InputError:
        last = _last_part(name)
        if last in ("", name) or last_parts[last] > 1:  # a/1.jpg is not b/1.jpg
            raise
    try:
        return folder.find(last)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _last_part(name: str) -> str:
    return name.rpartition("/")[2]


def _photo(
    path: Path, image_id: int, entries: list[dict[str, Any]], size: tuple[int, int] | None
) -> AnnotatedPhoto:
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
        size=size,
        estimated=sum(entry["area_estimated"] for entry in judged),
    )


def _read_head(path: Path) -> tuple[dict[str, _Image], object]:
    """Number -> photo, and the category of people: both may follow the annotations."""
    images: dict[str, _Image] | None = None
    category: object = 1
    with open_json(path) as stream:
        for key in stream.members():
            if key == "images":
                images = _read_images(stream, path)
            elif key == "categories":
                try:
                    category = _category_of_people(stream.value())
                except BadEntry as error:
                    raise InputError(f"{path}: categories: {error}") from None
        stream.finish()
    if images is None:
        raise InputError(f"{path}: not COCO annotations: there is no images list in it")
    return images, category


def _read_images(stream: JsonStream, path: Path) -> dict[str, _Image]:
    images: dict[str, _Image] = {}
    for index in stream.items():
        if index >= MAX_ANNOTATIONS:
            raise InputError(f"{path}: more than {MAX_ANNOTATIONS} photos")
        try:
            entry = stream.value()
            if not isinstance(entry, dict):
                raise BadEntry("not an object with id and file_name")
            name = photo_name(entry.get("file_name"))
            images[photo_name(entry.get("id"))] = _Image(name, _size(entry))
        except BadEntry as error:
            raise InputError(f"{path}: image {index}: {error}") from None
    return images


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height; None where one is missing or 0, which programs write for the same."""
    width, height = (
        0 if image.get(side) is None else int(number(image[side], side))
        for side in ("width", "height")
    )
    return (width, height) if width > 0 and height > 0 else None


def _category_of_people(categories: object) -> object:
    known = categories if isinstance(categories, list) else []
    known = [category for category in known if isinstance(category, dict) and "id" in category]
    for category in known:
        if str(category.get("name")).casefold() == "person":
            return category["id"]
    jointed = [category["id"] for category in known if category.get("keypoints")]
    return jointed[0] if len(jointed) == 1 else 1


def _read_people(path: Path, category: object) -> dict[str, list[dict[str, Any]]]:
    """The people of each photo by its number."""
    people: dict[str, list[dict[str, Any]]] = {}
    with open_json(path) as stream:
        for key in stream.members():
            if key != "annotations":
                continue
            for index in stream.items():
                if index >= min(MAX_ENTRIES, MAX_ANNOTATIONS):
                    raise InputError(f"{path}: more than {MAX_ANNOTATIONS} annotations")
                try:
                    entry = stream.value()
                    if not isinstance(entry, dict):
                        raise BadEntry("not an object with image_id and keypoints")
                    if entry.get("category_id", category) == category:
                        image = photo_name(entry.get("image_id"))
                        people.setdefault(image, []).append(_person(entry))
                except BadEntry as error:
                    raise InputError(f"{path}: annotation {index}: {error}") from None
    return people


def _person(entry: dict[str, Any]) -> dict[str, Any]:
    # Who was boxed only has no list of joints, or an empty one: COCO's 17 that nobody labelled.
    points = triplets(entry.get("keypoints") or [0] * _JOINTS * 3, "keypoints")
    if len(points) != _JOINTS:
        raise BadEntry(f"{len(points)} joints, but backends are compared in COCO's {_JOINTS}")
    if not np.isfinite(points).all() or not np.isin(points[:, 2], (0, 1, 2)).all():
        raise BadEntry("the third number of a key point is 0, 1 or 2 in annotations")
    x1, y1, x2, y2 = corner_box(entry.get("bbox"), "bbox")
    if not np.isfinite((x1, y1, x2, y2)).all():
        raise BadEntry("bbox is not finite")
    area = 0.0 if entry.get("area") is None else number(entry["area"], "area")
    return {
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": area if area > 0 else (x2 - x1) * (y2 - y1) * AREA_OF_BOX,
        "area_estimated": area <= 0,
        "iscrowd": int(bool(entry.get("iscrowd"))),
        "keypoints": points.reshape(-1).tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
    }
