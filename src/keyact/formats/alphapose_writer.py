"""Writing AlphaPose's JSON; the forms are described in `keyact.formats.alphapose`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from keyact.errors import KeyactError, UnknownNameError
from keyact.formats.alphapose import KEYS
from keyact.formats.base import PhotoPeople
from keyact.formats.people import size_box
from keyact.layouts import convert, get_layout
from keyact.replacing import part_of, replacing
from keyact.results import FrameResult, Person

if TYPE_CHECKING:
    from keyact.media import MediaItem

Form = Literal["default", "cmu", "open"]
FORMS: tuple[str, ...] = get_args(Form)

VERSION = "AlphaPose v0.3"
"""What AlphaPose writes into its cmu and open forms, and so do we."""


class AlphaPoseWriter:
    """Write photos' people as AlphaPose does, as they come.

    The file is a whole JSON text after every photo: its closing bracket is written each time and
    overwritten by the next. It grows beside its target and takes the target's name when the
    writer is closed, also when an exception or Ctrl-C ends the run, because it is whole.

    Parameters
    ----------
    target : file to write; missing folders are made.
    form : ``"default"``, ``"cmu"`` or ``"open"``; the last two in OpenPose's 18 joints.
    sources : the photos and videos to come, where they are known: see `write`.

    Raises
    ------
    KeyactError : the file cannot be written.
    UnknownNameError : no such form.
    """

    def __init__(
        self,
        target: str | Path,
        form: Form = "default",
        sources: Sequence[MediaItem] = (),
    ) -> None:
        _check_form(form)
        self._form = form
        self._target = Path(target)
        self._part = part_of(self._target)
        self._first = True
        self._names = _Names(sources)
        self._written: set[str] = set()
        self._opening, self._closing = (b"[", b"\n]\n") if form == "default" else (b"{", b"\n}\n")
        self._file: BinaryIO | None = None
        try:
            if self._target.is_dir():
                raise KeyactError(f"{target}: is a folder; name a .json file")
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._part, "wb")  # noqa: SIM115
        except OSError as error:
            raise KeyactError(f"{target}: cannot be written: {error.strerror or error}") from None
        self._put(self._opening)

    def write(self, photo: PhotoPeople | FrameResult) -> None:
        """Append a photo or frame.

        A result is named as AlphaPose names it: a photo by its file name, a video's frame
        ``NUMBER.jpg``. Of the ``sources`` photos that share a file name have their path below the
        folder of all photos instead, and frames of several videos ``VIDEO/NUMBER.jpg``. Where two
        others would share a name, the later one's has its folder, or the video's name, before it.

        Raises
        ------
        KeyactError : in the cmu and open forms, when the photo has been written already.
        """
        if isinstance(photo, FrameResult):
            photo = PhotoPeople(self._names(photo), photo.people)
        if self._form == "default":
            lines = [json.dumps(entry) for entry in _default_entries(photo)]
        else:
            if photo.image in self._written:  # a second key of the same name hides the first
                raise KeyactError(f"{self._target}: {photo.image!r} is written twice")
            self._written.add(photo.image)
            lines = [f"{json.dumps(photo.image)}: {json.dumps(_photo_entry(photo, self._form))}"]
        if lines:
            text = ",\n".join(lines)
            self._put(f"{'' if self._first else ','}\n{text}".encode())
            self._first = False

    def close(self) -> None:
        """Give the file its name."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
            os.replace(self._part, self._target)
        except OSError as error:
            raise KeyactError(
                f"{self._target}: cannot be written: {error.strerror or error}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _put(self, text: bytes) -> None:
        if self._file is None:
            raise ValueError("the writer is closed")
        try:
            self._file.write(text + self._closing)
            self._file.flush()
            self._file.seek(-len(self._closing), os.SEEK_CUR)
        except OSError as error:
            raise KeyactError(
                f"{self._target}: cannot be written: {error.strerror or error}"
            ) from None


class AlphaPoseFolder:
    """Write photos' people as AlphaPose's ``sep-json`` does, a file for each photo.

    A file is named by what stands before the first dot of the photo's name, and replaces one of
    an earlier run. Of several ``sources`` that are videos each has a folder of its own in it.

    Parameters
    ----------
    folder : is made when it is missing.
    form : as for `AlphaPoseWriter`; of ``"default"`` a file is the list of its photo.
    sources : the photos and videos to come, where they are known.

    Raises
    ------
    KeyactError : the folder cannot be made.
    UnknownNameError : no such form.
    """

    def __init__(
        self,
        folder: str | Path,
        form: Form = "default",
        sources: Sequence[MediaItem] = (),
    ) -> None:
        _check_form(form)
        self._form = form
        self._folder = Path(folder)
        self._names = _Names(sources)
        self._written: dict[str, str] = {}  # file -> photo
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KeyactError(f"{folder}: cannot be made: {error.strerror or error}") from None

    def write(self, photo: PhotoPeople | FrameResult) -> None:
        """Write a photo's or frame's file.

        Raises
        ------
        KeyactError : it cannot be written, or would overwrite another photo's of this run:
            ``a.1.jpg`` and ``a.2.jpg`` are both ``a``.
        """
        folder = self._folder
        if isinstance(photo, FrameResult):
            folder /= self._names.folder(photo)
            photo = PhotoPeople(self._names(photo), photo.people)
        name = _before_dot(PurePath(photo.image).name)
        path = folder / f"{name}.json"
        owner = self._written.setdefault(str(path).casefold(), photo.image)
        if not name or owner != photo.image:
            reason = f"is the file of {owner!r} as well" if name else "has no name before its dot"
            raise KeyactError(
                f"{path}: {photo.image!r} {reason}; rename one, write it to another folder, or "
                "name a .json file"
            )
        default = self._form == "default"
        content = _default_entries(photo) if default else _photo_entry(photo, self._form)
        with replacing(path) as part:
            part.write_text(json.dumps(content), "utf-8")

    def close(self) -> None:
        """Nothing is left to do; as in `AlphaPoseWriter`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_alphapose(
    target: str | Path, form: Form = "default", sources: Sequence[MediaItem] = ()
) -> AlphaPoseWriter | AlphaPoseFolder:
    """The writer of a ``.json`` file, or of a folder with a file for each photo.

    Parameters
    ----------
    sources : the photos and videos to come, where they are known: then all that share a name are
        told apart, not only the later ones.
    """
    path = Path(target)
    if path.suffix.lower() == ".json":
        return AlphaPoseWriter(path, form, sources)
    return AlphaPoseFolder(path, form, sources)


class _Names:
    """Names of results, told apart; see `AlphaPoseWriter.write`."""

    def __init__(self, sources: Sequence[MediaItem]) -> None:
        self._owners: dict[str, str] = {}  # name -> source
        photos = [item.path for item in sources if item.kind == "photo"]
        videos = [item.path for item in sources if item.kind == "video"]
        self._photos = _told_apart(photos, photos)
        self._folders: dict[str, str] = {}  # video -> what stands before its frames' numbers
        if len(videos) > 1 or any(_before_dot(path.name).isdecimal() for path in photos):
            bare = [path.with_suffix("") for path in videos]
            self._folders = _told_apart(videos, bare if len(set(bare)) == len(bare) else videos)

    def __call__(self, result: FrameResult) -> str:
        source = PurePath(result.source)
        parts = [part for part in source.parts if part != source.anchor] or ["photo"]
        known = self._photos.get(result.source)
        if result.timestamp is not None or result.index:
            frame = f"{result.index}.jpg"
            parts[-1:] = [PurePath(parts[-1]).stem, frame]
            folder = self.folder(result)
            known = f"{folder}/{frame}" if folder else None
        names = ["/".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        for name in [known, *names] if known else names:
            if self._owners.setdefault(name, result.source) == result.source:
                return name
        return names[-1]

    def folder(self, result: FrameResult) -> str:
        """What the frames of a video have before their number, so that no other's are named so."""
        return self._folders.get(result.source, "")


def _told_apart(sources: Sequence[Path], paths: Sequence[Path]) -> dict[str, str]:
    """Source -> the file name of its path; where others share it, the path below the folder of
    all."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    shared = Counter(path.name for path in absolute)
    levels = zip(*(path.parent.parts for path in absolute), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return {
        str(source): path.name if shared[path.name] == 1 else "/".join(path.parts[common or 1 :])
        for source, path in zip(sources, absolute, strict=True)
    }


def _before_dot(name: str) -> str:
    return name.split(".")[0]


def _check_form(form: str) -> None:
    if form not in FORMS:
        raise UnknownNameError("AlphaPose form", form, FORMS)


def _default_entries(photo: PhotoPeople) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for person in photo.people:
        fields = person.model_dump(mode="json", include={"keypoints", "score", "track_id"})
        entry = {
            "image_id": photo.image,
            "category_id": 1,
            "keypoints": [value for row in fields["keypoints"] for value in row],
            "score": fields["score"],
            "box": size_box(person.box),
        }
        if person.track_id is not None:
            entry["idx"] = person.track_id
        entries.append(entry)
    return entries


def _photo_entry(photo: PhotoPeople, form: str) -> dict[str, object]:
    listed, joints = KEYS[form]
    people = []
    for person in photo.people:
        rows = _as_openpose18(person).tolist()
        people.append(
            {joints: [round(v, 4 if i == 2 else 2) for row in rows for i, v in enumerate(row)]}
        )
    return {"version": VERSION, listed: people}


def _as_openpose18(person: Person) -> NDArray[np.float64]:
    points = convert(person.keypoints, person.layout, "openpose18").astype(np.float64)
    if person.layout == "coco17":
        # Of two shoulders, also where one is missing; keyact's own conversion is stricter.
        left, right = (get_layout("coco17").index(f"{side}_shoulder") for side in ("left", "right"))
        points[1] = person.keypoints[[left, right]].astype(np.float64).mean(0)
    return points
