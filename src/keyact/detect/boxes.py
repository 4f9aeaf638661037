"""Boxes that the user gives: ``"boxes:FILE.json"``.

The file is an object of photos by name, with a list of ``[x1, y1, x2, y2]`` or
``[x1, y1, x2, y2, score]`` in pixels of the upright photo::

    {"ann.jpg": [[40, 20, 180, 300], [200.5, 10, 260, 240, 0.8]], "empty.jpg": []}

or a list of detections, as COCO has it and AlphaPose reads it: ``image_id`` (a name or number),
``bbox`` ``[x, y, width, height]``, ``score`` and ``category_id`` 1; other categories are left
out. A missing score is 1. AlphaPose writes its list with the threshold of its detector (see
`keyact.detect.yolox`), so that none is applied here unless one is asked for.

Names are those of `keyact.media.photo_folder.PhotoFolder` in the folder of the file: put the
file beside, or above, its photos. A detector is given pixels and no name, so a photo is known
again by its pixels, whatever path it is read from; photos of that folder that the file does not
name have no people in them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.formats.base import MAX_PEOPLE
from keyact.formats.cache import pixel_hash
from keyact.formats.json_stream import BadEntry, JsonStream, open_json
from keyact.formats.people import corner_box, number, numbers, photo_name
from keyact.media.image import load_image, photo_size
from keyact.media.photo_folder import PhotoFolder

_log = logging.getLogger("keyact")

MAX_ENTRIES = 5_000_000
"""Photos or detections in a file: they are held in memory."""

_COCO_KEYS = frozenset({"info", "licenses", "images", "annotations", "categories"})

_Row = tuple[float, float, float, float, float]


class GivenBoxes:
    """See `keyact.detect.base.Detector`.

    Parameters
    ----------
    path : see this module.
    score_threshold : least score of a box.

    Raises
    ------
    InputError : the file cannot be read, has another form, a wrong entry, or names no photo of
        its folder.
    """

    name = "boxes"

    def __init__(self, path: str | Path, score_threshold: float = 0.0) -> None:
        self.path = Path(path)
        self._threshold = score_threshold
        self._lock = threading.Lock()
        named = _read(self.path)
        self._photos = PhotoFolder(self.path.parent)
        self._rows: dict[Path, list[_Row]] = {}
        lost: list[InputError] = []
        for name, rows in named.items():
            try:
                self._rows.setdefault(self._photos.find(name), []).extend(rows)
            except InputError as error:
                lost.append(error)
        if lost and not self._rows:
            raise InputError(
                f"{path}: none of its {len(lost)} photos lies in its folder ({lost[-1]}); put the "
                "file beside its photos"
            )
        if lost:
            _log.warning("%s: left out %d of its %d photos (%s)",
                         path, len(lost), len(named), lost[0])  # fmt: skip
        # Photos are read when one of their size is asked for, each once.
        self._unread: dict[tuple[int, int], list[Path]] | None = None
        self._known: dict[str, Path] = {}

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The given boxes and scores, highest score first.

        Raises
        ------
        InputError : the photo is not in the file's folder.
        """
        with self._lock:
            path = self._path(image)
        rows = np.array(self._rows.get(path, []), np.float64).reshape(-1, 5)
        height, width = image.shape[:2]
        inside = (rows[:, :2] < (width, height)).all(1) & (rows[:, 2:4] > 0).all(1)
        rows = rows[inside & (rows[:, 4] >= self._threshold)]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        start = rows[:, :2].clip(0, (width - 1, height - 1))
        end = np.maximum(rows[:, 2:4].clip(0, (width, height)), start + 1)
        boxes = np.concatenate([start, end], 1)
        return boxes.astype(np.float32), rows[:, 4].astype(np.float32)

    def _path(self, image: NDArray[np.uint8]) -> Path:
        digest = pixel_hash(image)
        if self._unread is None:
            # Of two copies of a photo the one with boxes counts.
            paths = sorted(self._photos.paths, key=lambda path: path not in self._rows)
            self._unread = _by_size(paths)
        height, width = image.shape[:2]
        waiting = self._unread.get(_size(width, height), [])
        while digest not in self._known and waiting:
            path = waiting.pop(0)
            try:
                self._known.setdefault(pixel_hash(load_image(path)), path)
            except InputError:  # a damaged photo is nobody's; asked for itself it is reported
                continue
        if digest not in self._known:
            raise InputError(
                f"{self.path}: no photo of its folder {self._photos.folder} has these pixels "
                f"({width} x {height}); boxes are given for photos, not for frames of videos"
            )
        return self._known[digest]


def _size(width: int, height: int) -> tuple[int, int]:
    """Size in either orientation: a header does not tell which way up the photo is."""
    return min(width, height), max(width, height)


def _by_size(paths: list[Path]) -> dict[tuple[int, int], list[Path]]:
    found: dict[tuple[int, int], list[Path]] = {}
    for path in paths:
        try:
            found.setdefault(_size(*photo_size(path)), []).append(path)
        except InputError:  # asked for itself, it is reported
            continue
    return found


def _read(path: Path) -> dict[str, list[_Row]]:
    """Photo -> boxes with scores, as the file has them."""
    found: dict[str, list[_Row]] = {}
    with open_json(path) as stream:
        rows = _photos(stream, path) if stream.peek() == "{" else _detections(stream, path)
        for image, boxes in rows:
            known = found.setdefault(image, [])
            known += boxes
            if len(known) > MAX_PEOPLE:
                raise InputError(f"{path}: {image!r} has more than {MAX_PEOPLE} boxes")
        stream.finish()
    return found


def _photos(stream: JsonStream, path: Path) -> Iterator[tuple[str, list[_Row]]]:
    for index, key in enumerate(stream.members()):
        if index >= MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES} photos")
        try:
            boxes = stream.value()
            if not isinstance(boxes, list):
                raise BadEntry("not a list of boxes [x1, y1, x2, y2] or [x1, y1, x2, y2, score]")
            yield photo_name(key), [_box(box, f"box {i}") for i, box in enumerate(boxes)]
        except BadEntry as error:
            if key in _COCO_KEYS:
                raise InputError(
                    f"{path}: is COCO annotations, not boxes by photo; make a cache of their key "
                    f"points: keyact import coco-annotations {path} --images {path.parent}"
                ) from None
            raise InputError(f"{path}: {key[:80]!r}: {error}") from None


def _box(values: object, what: str) -> _Row:
    row = numbers(values, what).tolist()
    if len(row) not in (4, 5) or not np.isfinite(row).all():
        raise BadEntry(f"{what} is not [x1, y1, x2, y2] or [x1, y1, x2, y2, score]")
    return _checked(row[0], row[1], row[2], row[3], row[4] if len(row) == 5 else 1.0, what)


def _detections(stream: JsonStream, path: Path) -> Iterator[tuple[str, list[_Row]]]:
    for index in stream.items():
        if index >= MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES} entries")
        try:
            entry = stream.value()
            if not isinstance(entry, dict):
                raise BadEntry("not an object with image_id and bbox")
            if entry.get("category_id", 1) != 1:
                continue
            if "bbox" not in entry:
                raise BadEntry(
                    "has no bbox; for results with key points make a cache: keyact import alphapose"
                )
            score = 1.0 if entry.get("score") is None else number(entry["score"], "score")
            box = _checked(*corner_box(entry["bbox"], "bbox"), score, "bbox")
            yield photo_name(entry.get("image_id")), [box]
        except BadEntry as error:
            raise InputError(f"{path}: entry {index}: {error}") from None


def _checked(x1: float, y1: float, x2: float, y2: float, score: float, what: str) -> _Row:
    if x2 <= x1 or y2 <= y1 or not np.isfinite((x1, y1, x2, y2)).all():
        raise BadEntry(f"{what} is not x1 < x2 and y1 < y2")
    if not 0 <= score <= 1:
        raise BadEntry(f"{what} has the score {score:g}, outside 0 to 1")
    return x1, y1, x2, y2, score


def load(
    source: str | None, *, threads: int | None = None, score_threshold: float | None = None
) -> GivenBoxes:
    """The detector of a file; without a threshold all its boxes are found.

    Raises
    ------
    InputError : no file was named; see also `GivenBoxes`.
    """
    if source is None:
        raise InputError("boxes needs a file: type boxes:FILE.json")
    return GivenBoxes(Path(source).expanduser(), score_threshold or 0.0)
