"""Stanford 40 Actions (Yao et al., ICCV 2011): ``JPEGImages``, ``ImageSplits``, ``XMLAnnotations``.

``ImageSplits/ACTION_train.txt`` and ``ACTION_test.txt`` list the photos of the official split
(4,000 and 5,532), ``actions.txt`` the actions in their order, and an XML file per photo has the
box of the person who does it. A photo of several annotated people gets its largest box.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyact.data.base import Box, DataFormat, Dataset, Sample, child, extra, make_dataset, word
from keyact.data.manifest import checked_box
from keyact.data.tables import read_text
from keyact.errors import InputError
from keyact.media.sources import PHOTO_SUFFIXES

MAX_XML_BYTES = 2**20
MAX_OBJECTS = 1000


def detect(source: Path) -> bool:
    """The folders ``ImageSplits`` and ``JPEGImages``."""
    return (source / "ImageSplits").is_dir() and (source / "JPEGImages").is_dir()


def load(source: Path) -> Dataset:
    """See `keyact.data.base.DataFormat`."""
    if not detect(source):
        raise InputError(f"{source}: has not the folders ImageSplits and JPEGImages of Stanford 40")
    problems: list[str] = []
    labels = _labels(source / "ImageSplits")
    samples = list(_samples(source, labels, problems))
    listed = {sample.path for sample in samples}
    for path in sorted((source / "JPEGImages").iterdir()):
        if path not in listed and path.suffix.lower() in PHOTO_SUFFIXES:
            problems.append(f"{path}: is left out, as no file of ImageSplits lists it")
    return make_dataset(source, source, samples, problems, format="stanford40", labels=labels)


def _labels(splits: Path) -> list[str]:
    """Actions that have a list of photos; those of actions.txt first and in its order."""
    there = {
        path.stem.rpartition("_")[0]
        for end in ("train", "test")
        for path in splits.glob(f"*_{end}.txt")
    }
    named: list[str] = []
    if (splits / "actions.txt").is_file():
        # Its first line is "action_name number_of_images"; a count follows each name.
        fields = (line.split() for line in read_text(splits / "actions.txt").splitlines())
        named = [field[0] for field in fields if field and field[0] in there]
    if not there:
        raise InputError(f"{splits}: has no ACTION_train.txt and ACTION_test.txt")
    return list(dict.fromkeys([*named, *sorted(there)]))


def _samples(source: Path, labels: list[str], problems: list[str]) -> Iterator[Sample]:
    annotated = (source / "XMLAnnotations").is_dir()
    for label in labels:
        for split in ("train", "test"):
            listing = source / "ImageSplits" / f"{label}_{split}.txt"
            if not listing.is_file():
                problems.append(f"{listing}: no such file, so {label} has no {split} photos")
                continue
            for number, line in enumerate(read_text(listing).splitlines(), 1):
                if not line.strip():
                    continue
                try:
                    path = child(source / "JPEGImages", line)
                    word(label)
                except ValueError as error:
                    problems.append(f"{listing}: line {number}: {error}")
                    continue
                box = None
                if annotated:
                    xml = source / "XMLAnnotations" / f"{path.stem}.xml"
                    try:
                        box = _largest_box(xml, label)
                    except (InputError, ValueError) as error:
                        problems.append(f"{xml}: gives no box: {error}")
                yield Sample(path, label, split, None, box)


def _largest_box(path: Path, label: str) -> Box | None:
    """The box of who does this action, of the largest when there are more."""
    tree = extra("defusedxml.ElementTree")
    try:
        root = tree.fromstring(read_text(path, MAX_XML_BYTES))
    except (tree.ParseError, extra("defusedxml").DefusedXmlException) as error:
        raise ValueError(f"not XML: {str(error) or type(error).__name__}") from None
    boxes: list[tuple[bool, float, Box]] = []
    for found in root.findall("object")[:MAX_OBJECTS]:
        corners = [float(found.findtext(f"bndbox/{k}", "nan")) for k in _CORNERS]
        box = checked_box(*corners)
        action = (found.findtext("action") or label).strip()
        boxes.append((action == label, (box[2] - box[0]) * (box[3] - box[1]), box))
    if not boxes:
        raise ValueError("there is no object in it")
    return max(boxes)[2]


_CORNERS = ("xmin", "ymin", "xmax", "ymax")

FORMAT = DataFormat(
    name="stanford40",
    summary="Stanford 40 Actions: JPEGImages, ImageSplits and XMLAnnotations",
    detect=detect,
    load=load,
)
