"""The photos of a folder, found by the names that other files give them."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from pathlib import Path

from keyact.errors import InputError
from keyact.media.sources import find_media


class SeveralPhotos(InputError):
    """A name that several photos have."""


class PhotoFolder:
    """The photos below a folder by name.

    A name is looked up among the files that were found, never opened as a path, so no name leads
    out of the folder. It is a photo's path below the folder, or, where only one photo has it:
    the end of that path from some folder on, its file name, that without the suffix, or that up
    to the first dot (AlphaPose). The number of a COCO image may also be the one that ends a file
    name. Letters with accents are the same whether they are one character or two.

    Parameters
    ----------
    folder : searched with its subfolders.

    Attributes
    ----------
    paths : all photos, sorted.

    Raises
    ------
    InputError : there is no such folder, or no photo in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.paths = [item.path for item in find_media([folder]) if item.kind == "photo"]
        self._exact = {self._below(path): path for path in self.paths}
        # None where several photos share the name.
        self._whole: dict[str, Path | None] = {}
        self._shorter: list[dict[str, Path | None]] = [{}, {}, {}]
        self._numbers: dict[str, Path | None] = {}
        for path in self.paths:
            name, stem = _composed(path.name), _composed(path.stem)
            ending = re.search(r"[0-9]{1,18}$", stem)
            _add(self._whole, _composed(self._below(path)), path)
            for known, short in zip(self._shorter, (name, stem, name.split(".")[0]), strict=True):
                _add(known, short, path)
            if ending:
                _add(self._numbers, str(int(ending[0])), path)

    def find(self, name: str, *, number: bool = True) -> Path:
        """The photo of a name.

        Parameters
        ----------
        number : a name of digits may be the number of a COCO image.

        Raises
        ------
        InputError : there is none.
        SeveralPhotos : there is more than one.
        """
        if name in self._exact:
            return self._exact[name]
        name = _composed(name)
        kinds = [self._whole, *([self._ends] if "/" in name else self._shorter)]
        for known in [*kinds, self._numbers] if number else kinds:
            if name in known:
                path = known[name]
                if path is None:
                    raise SeveralPhotos(f"{name!r} is the name of several photos in {self.folder}")
                return path
        raise InputError(f"{name!r}: no such photo in {self.folder}")

    def _below(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    @cached_property
    def _ends(self) -> dict[str, Path | None]:
        """Ends of paths that begin with a folder's name; None where several photos share one."""
        ends: dict[str, Path | None] = {}
        for path in self.paths:
            parts = _composed(self._below(path)).split("/")
            for first in range(1, len(parts) - 1):
                _add(ends, "/".join(parts[first:]), path)
        return ends


def _add(known: dict[str, Path | None], name: str, path: Path) -> None:
    if name:
        known[name] = None if name in known else path


def _composed(name: str) -> str:
    """One spelling of a name: macOS writes an accent as a character of its own."""
    return unicodedata.normalize("NFC", name)
