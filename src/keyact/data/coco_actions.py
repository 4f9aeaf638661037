"""People in COCO's or AlphaPose's JSON, with the labels in a file beside it or as categories.

With a label file, a table as in `keyact.data.manifest`, its rows are the samples, and the JSON
(AlphaPose's results, COCO results or COCO annotations) gives each photo its largest person's
box. Photos are matched by their paths below the folder of the photos; where the JSON names no
such path, by file name, stem or COCO number, if that means one photo on either side. A photo
without people in the JSON has no box. Without a label file the categories of COCO
annotations are the actions, and each annotation is a sample, as Roboflow and CVAT export them:
one ``.json``, or ``_annotations.coco.json`` in each of train, valid and test.

The key points of such files are used through a key point cache: ``keyact import`` makes it, and
``precomputed:CACHE`` names it as detector and pose backend.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from keyact.data.base import (
    Box,
    DataFormat,
    Dataset,
    Sample,
    absolute,
    child,
    make_dataset,
    split_name,
    word,
)
from keyact.data.manifest import checked_box, rows_to_samples
from keyact.data.tables import TABLE_SUFFIXES, read_table
from keyact.errors import InputError
from keyact.formats import Options, read
from keyact.formats.base import MAX_ENTRIES
from keyact.formats.json_stream import BadEntry, open_json
from keyact.formats.people import corner_box, photo_name

ANNOTATIONS = "annotations"  # CVAT's folder of JSON files
ROBOFLOW = "_annotations.coco.json"
LOOKED_FOR = 100  # photos, to tell which folder they lie in
LABEL_FILES = tuple(f"labels{suffix}" for suffix in TABLE_SUFFIXES)


@dataclass
class _Coco:
    """What is used of COCO annotations: photos and categories by id, and who is where."""

    images: dict[str, str]
    categories: dict[str, str]
    found: list[tuple[int, str, str, Box | None]]  # index, image id, category id, box


def detect(source: Path) -> bool:
    """A ``.json`` file, a folder with one and a label file, or Roboflow's folders."""
    if source.is_dir():
        if list(source.glob("*.json")) and _label_file(source) is not None:
            return True
        return bool(_roboflow(source))
    return source.suffix.lower() == ".json"


def load(
    source: Path, labels: str | Path | None = None, images: str | Path | None = None
) -> Dataset:
    """See `keyact.data.base.DataFormat`.

    Parameters
    ----------
    labels : the label file; by default ``labels.csv`` beside the JSON, if there is one.
    images : folder of the photos; by default ``images`` beside the JSON, or the JSON's folder, or,
        of a JSON in ``annotations``, ``images`` or ``images/default`` beside that: the first that
        has the photos.
    """
    folder = source if source.is_dir() else source.parent
    table = absolute(labels) if labels is not None else _label_file(folder)
    given = absolute(images) if images is not None else None
    problems: list[str] = []
    if table is not None:
        rows = read_table(table, ("path",), ("path",))
        root = given or _photos_of(folder, (row["path"] for _, row in rows))
        boxes = _boxes(_only_json(source), problems)
        samples = list(rows_to_samples(table, root, problems))
        samples = list(_with_boxes(samples, root, boxes, problems))
        return make_dataset(source, root, samples, problems, format="coco-actions")
    parts = _roboflow(source) if source.is_dir() else []
    if not parts:
        parts = [(_only_json(source), None)]
    names: list[str] = []
    samples = []
    top = folder
    for file, split in parts:
        coco = _read_coco(file, problems)
        place = given or (file.parent if split else _photos_of(folder, _images(coco)))
        if given is None and not place.is_relative_to(top):
            top = folder.parent
        samples += _annotated(file, coco, place, split, names, problems)
    return make_dataset(source, top, samples, problems, format="coco-actions", labels=names)


def _photos_of(folder: Path, names: Iterable[str]) -> Path:
    """The folder of the photos of a JSON in ``folder``; ``names`` are theirs."""
    images = folder / "images"
    places = [images, folder] if images.is_dir() else [folder]
    if folder.name == ANNOTATIONS:
        places += [folder.parent / "images", folder.parent / "images" / "default"]
    listed = list(islice(names, LOOKED_FOR))
    return next((p for p in places if any(_is_below(p, name) for name in listed)), places[0])


def _is_below(folder: Path, name: str) -> bool:
    try:
        return os.path.isfile(child(folder, name))
    except ValueError:
        return False


def _images(coco: _Coco | None) -> Iterable[str]:
    return () if coco is None else coco.images.values()


def _annotated(
    file: Path,
    coco: _Coco | None,
    root: Path,
    split: str | None,
    names: list[str],
    problems: list[str],
) -> Iterator[Sample]:
    """A sample per annotation; ``names`` gains the categories that are used, in their order."""
    if coco is None or {name.casefold() for name in coco.categories.values()} <= {"person"}:
        raise InputError(
            f"{file}: does not say who does what; give the label file with --labels FILE "
            "(in Python: labels=...)"
        )
    used = {category for _, _, category, _ in coco.found}
    names += [name for key, name in coco.categories.items() if key in used and name not in names]
    seen = set()
    for index, image, category, box in coco.found:
        try:
            if category not in coco.categories:
                raise ValueError(f"there is no category {category}")
            if image not in coco.images:
                raise ValueError(f"there is no image {image}")
            seen.add(image)
            yield Sample(
                child(root, coco.images[image]), coco.categories[category], split, None, box
            )
        except ValueError as error:
            problems.append(f"{file}: annotation {index}: {error}")
    for image, name in coco.images.items():
        if image not in seen:
            problems.append(f"{file}: {name}: has no annotation, so it is left out")


def _with_boxes(
    samples: Sequence[Sample], root: Path, boxes: dict[str, Box | None], problems: list[str]
) -> Iterator[Sample]:
    """Samples with the boxes of photos of their path, or else of their name, stem or number."""
    short: dict[str, list[str]] = defaultdict(list)
    for name in boxes:
        short[PurePosixPath(name).name].append(name)
    sharing: dict[str, set[Path]] = defaultdict(set)
    for sample in samples:
        for name in _keys(sample.path):
            sharing[name].add(sample.path)
    used = {_below(root, sample) for sample in samples} & boxes.keys()
    left = {name: set(names) - used for name, names in short.items()}
    unclear: dict[Path, str] = {}
    for sample in samples:
        found = boxes.get(_below(root, sample))
        key = next((key for key in _keys(sample.path) if left.get(key)), None)
        if _below(root, sample) not in boxes and key is not None:
            used |= left[key]
            if len(short[key]) == len(sharing[key]) == 1:
                found = boxes[short[key][0]]
            elif sample.box is None:
                unclear[sample.path] = key
        yield sample if sample.box is not None else replace(sample, box=found)
    problems += [
        f"{path}: has no box: {key} is the name of {len(short[key])} photos in the JSON and "
        f"{len(sharing[key])} in the label file; write it as {path.relative_to(root).as_posix()} "
        "in the JSON"
        for path, key in unclear.items()
    ]
    problems += [
        f"{name}: is in the JSON, but the label file has no label for it"
        for name, box in boxes.items()
        if box is not None and name not in used
    ]


def _below(root: Path, sample: Sample) -> str:
    return sample.path.relative_to(root).as_posix()


def _keys(path: Path) -> tuple[str, str, str]:
    """What a JSON may call a photo without its folder: file name, stem, COCO number."""
    return path.name, path.stem, path.stem.rpartition("_")[2].lstrip("0")


def _boxes(file: Path, problems: list[str]) -> dict[str, Box | None]:
    """Photo's name with its folders, or number -> box of its largest person, if it has any."""
    largest: dict[str, Box | None] = {}

    def add(name: str, box: Box | None) -> None:
        name = PurePosixPath(name.replace("\\", "/")).as_posix()
        best = largest.setdefault(name, box)
        if box is not None and (best is None or _area(box) > _area(best)):
            largest[name] = box

    coco = _read_coco(file, problems)
    if coco is not None:
        for name in coco.images.values():
            add(name, None)
        for _, image, _, box in coco.found:
            add(coco.images.get(image, image), box)
        return largest
    for photo in read("alphapose", file, Options(report=problems.append)):
        for person in photo.people:
            add(photo.image, person.box)
    return largest


def _read_coco(file: Path, problems: list[str]) -> _Coco | None:
    """COCO annotations, or None when the file is a list of results or one of AlphaPose's."""
    coco = _Coco({}, {}, [])
    listed = False
    with open_json(file) as stream:
        if stream.peek() != "{":
            return None
        for key in stream.members():
            if key not in ("images", "categories", "annotations") or stream.peek() != "[":
                continue
            listed = listed or key == "images"
            for index in stream.items():
                if index >= MAX_ENTRIES:
                    raise InputError(f"{file}: more than {MAX_ENTRIES} entries")
                try:
                    entry = stream.value()
                    if not isinstance(entry, dict):
                        raise BadEntry("not an object")
                    _add(coco, key, index, entry)
                except ValueError as error:  # BadEntry is one
                    problems.append(f"{file}: {key} {index}: {error}")
        stream.finish()
    return coco if listed else None


def _add(coco: _Coco, key: str, index: int, entry: dict[str, object]) -> None:
    if key == "images":
        coco.images[photo_name(entry.get("id"))] = photo_name(entry.get("file_name"))
    elif key == "categories":
        name = word(entry.get("name"))
        if name is None:
            raise BadEntry("the category has no name")
        coco.categories[photo_name(entry.get("id"))] = name
    elif not entry.get("iscrowd"):
        box = None
        if entry.get("bbox"):
            box = checked_box(*corner_box(entry["bbox"], "bbox"))
        image, category = photo_name(entry.get("image_id")), photo_name(entry.get("category_id", 1))
        coco.found.append((index, image, category, box))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _label_file(folder: Path) -> Path | None:
    return next((folder / name for name in LABEL_FILES if (folder / name).is_file()), None)


def _only_json(source: Path) -> Path:
    if not source.is_dir():
        return source
    files = sorted(source.glob("*.json"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise InputError(f"{source}: give the path of one .json file (here: {names})")
    return files[0]


def _roboflow(folder: Path) -> list[tuple[Path, str | None]]:
    """Annotation files in folders for the splits, or the one in the folder itself."""
    if (folder / ROBOFLOW).is_file():
        return [(folder / ROBOFLOW, split_name(folder.name))]
    parts = sorted(entry for entry in folder.iterdir() if (entry / ROBOFLOW).is_file())
    return [(part / ROBOFLOW, split_name(part.name)) for part in parts]


FORMAT = DataFormat(
    name="coco-actions",
    summary="people in COCO's or AlphaPose's JSON with a label file, or COCO with actions as "
    "categories",
    detect=detect,
    load=load,
    options={
        "labels": "table with the columns path and label; labels.csv beside the JSON by default",
        "images": "folder of the photos; by default images beside the JSON, or the JSON's own, or "
        "images or images/default beside annotations/",
    },
)
