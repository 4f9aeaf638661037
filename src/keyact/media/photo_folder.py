"""The photos of a folder, found by the names that other files give them."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from keyact.errors import InputError
from keyact.media.sources import find_media


class PhotoFolder:
    """The photos below a folder by name.

    A name is looked up among the files that were found, never opened as a path, so no name leads
    out of the folder. It is a photo's path below the folder, or, where only one photo has it:
    the end of that path from some folder on, its file name, that without the suffix, that up to
    the first dot (AlphaPose), or the number that ends it (COCO).

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
        self._whole = {path.relative_to(self.folder).as_posix(): path for path in self.paths}
        # None where several photos share the name.
        self._shorter: list[dict[str, Path | None]] = [{}, {}, {}, {}]
        for path in self.paths:
            number = re.search(r"[0-9]{1,18}$", path.stem)
            short = (path.name, path.stem, path.name.split(".")[0], number and str(int(number[0])))
            for known, name in zip(self._shorter, short, strict=True):
                if name:
                    known[name] = None if name in known else path

    def find(self, name: str) -> Path:
        """The photo of a name.

        Raises
        ------
        InputError : there is none, or more than one.
        """
        if name in self._whole:
            return self._whole[name]
        for known in [self._ends] if "/" in name else self._shorter:
            if name in known:
                path = known[name]
                if path is None:
                    raise InputError(f"{name!r} is the name of several photos in {self.folder}")
                return path
        raise InputError(f"{name!r}: no such photo in {self.folder}")

    @cached_property
    def _ends(self) -> dict[str, Path | None]:
        """Ends of paths that begin with a folder's name; None where several photos share one."""
        ends: dict[str, Path | None] = {}
        for whole, path in self._whole.items():
            parts = whole.split("/")
            for first in range(1, len(parts) - 1):
                end = "/".join(parts[first:])
                ends[end] = None if end in ends else path
        return ends
