"""``keyact import``: key points of other programs as a cache that keyact works from."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import track

from keyact.cli.terminal import FAILED, complain, console, one_line_errors
from keyact.errors import InputError, KeyactError
from keyact.formats import FORMATS, Options, PhotoPeople, get_format, read
from keyact.formats.base import MAX_PEOPLE
from keyact.formats.cache import model_name, pixel_hash
from keyact.media import load_image
from keyact.media.photo_folder import PhotoFolder
from keyact.replacing import replacing
from keyact.results import FrameResult

MAX_SHOWN = 20
"""Problems that are printed; the rest is counted."""


def import_(
    format_name: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.", show_default=False),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Key point files, or folders of them."),
    ],
    images: Annotated[
        Path,
        typer.Option(
            "--images", metavar="DIR", help="Folder of the photos, searched with its subfolders."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The cache to write.", dir_okay=False)
    ] = Path("cache.jsonl"),
    layout: Annotated[
        str | None,
        typer.Option(help="Skeleton of the key points; by the number of joints when not given."),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="coco: annotations that name the photos.", exists=True),
    ] = None,
    add_empty: Annotated[
        bool,
        typer.Option(
            "--add-empty", help="Photos of DIR that no FILE names are photos without people."
        ),
    ] = False,
) -> None:
    """Make a key point cache from the files of other programs.

    Photos are found again by their pixels, so the cache works from every folder. What cannot be
    used is reported and left out. The exit status is 0 when all was taken, 1 when something was
    left out, and 2 for a wrong option.
    """
    messages = console(stderr=True)
    with one_line_errors():
        get_format(format_name)
        if annotations is not None and format_name != "coco":
            raise typer.BadParameter(f"--annotations is for coco, not for {format_name}")
        inputs = [path for path in (*files, annotations) if path is not None]
        if out.resolve() in [path.resolve() for path in inputs]:
            raise typer.BadParameter(f"--out {out} would overwrite an input")
        with tempfile.TemporaryFile() as spool:
            run = _Import(PhotoFolder(images), spool, layout, annotations)
            for file in files:
                try:
                    run.collect(format_name, file)
                except InputError as error:
                    run.problem(str(error))
            if add_empty:
                run.add_empty()
            written = 0
            with replacing(out) as part, part.open("wb") as target:
                for result in track(
                    run.results(format_name),
                    description=out.name,
                    total=run.found,
                    console=messages,
                    transient=True,
                    disable=not messages.is_terminal,
                ):
                    target.write(f"{result.to_json()}\n".encode())
                    written += 1
                if not run.people:
                    raise InputError(f"no people to import, so {out} is left as it was")
        if run.problems > MAX_SHOWN:
            complain(f"... and {run.problems - MAX_SHOWN} more problems", messages)
        table = console()
        for line in (
            f"{out}: {written} photos, {run.people} people, {run.layout}",
            f"Use it: keyact predict {images} "
            f"--detector precomputed:{out} --pose precomputed:{out}",
        ):
            table.print(line, markup=False, soft_wrap=True)
        if run.problems:
            raise typer.Exit(FAILED)


class _Import:
    """One run: collect people by photo in a file on disk, then write them photo by photo."""

    def __init__(
        self, photos: PhotoFolder, spool: IO[bytes], layout: str | None, annotations: Path | None
    ) -> None:
        self.problems = 0
        self.people = 0
        self.layout: str | None = None
        self._photos = photos
        self._spool = spool
        self._options = Options(layout, self.problem, self._size_of, annotations)
        self._places: dict[Path, list[tuple[int, int]]] = {}
        self._counts: Counter[Path] = Counter()  # people, also those that are not kept
        self._stated: dict[Path, tuple[int, int]] = {}
        self._read: dict[Path, tuple[int, int, str]] = {}
        self._missing: set[str] = set()
        self._messages = console(stderr=True)

    @property
    def found(self) -> int:
        """Photos that `results` will read."""
        return len(self._places)

    def problem(self, message: str) -> None:
        """Report what is left out."""
        self.problems += 1
        if self.problems <= MAX_SHOWN:
            complain(message, self._messages)

    def collect(self, format_name: str, file: Path) -> None:
        """Read a file, or a folder of files."""
        for photo in read(format_name, file, self._options):
            if photo.frame is not None:
                raise InputError(f"{file}: is about a video's frames; only photos are imported")
            try:
                path = self._photos.find(photo.image)
            except InputError as error:
                if photo.image not in self._missing:
                    self._missing.add(photo.image)
                    self.problem(f"{file}: {error}")
                continue
            self._keep(path, photo)

    def add_empty(self) -> None:
        """Add the folder's other photos, without people."""
        for path in self._photos.paths:
            self._places.setdefault(path, [])

    def results(self, format_name: str) -> Iterator[FrameResult]:
        """The collected people of each photo that can be read."""
        for path, places in self._places.items():
            try:
                width, height, pixels = self._photo(path)
            except InputError as error:
                self.problem(str(error))
                continue
            stated = self._stated.get(path, (width, height))
            if stated != (width, height):
                self.problem(
                    f"{path}: has {width} x {height} pixels, but the key points are of a photo of "
                    f"{stated[0]} x {stated[1]}"
                )
                continue
            people = []
            for start, length in places:
                self._spool.seek(start)
                people += json.loads(self._spool.read(length))
            if self._counts[path] > MAX_PEOPLE:
                self.problem(f"{path}: {self._counts[path]} people; only {MAX_PEOPLE} are kept")
            self.people += len(people)
            fields = {
                "source": str(path),
                "width": width,
                "height": height,
                "image_only": not people,
                "people": people,
                "timings_ms": {},
                "model": model_name(format_name, pixels),
            }
            yield FrameResult.from_json(json.dumps(fields))

    def _keep(self, path: Path, photo: PhotoPeople) -> None:
        for person in photo.people:
            self.layout = self.layout or person.layout
            if person.layout != self.layout:
                raise KeyactError(
                    f"{path}: people of {self.layout} and of {person.layout}; a cache has one "
                    "layout: import them apart, or name one with --layout"
                )
        if photo.width is not None and photo.height is not None:
            self._stated[path] = (photo.width, photo.height)
        places = self._places.setdefault(path, [])
        kept = photo.people[: max(MAX_PEOPLE - self._counts[path], 0)]
        self._counts[path] += len(photo.people)
        if kept:
            line = json.dumps([person.model_dump(mode="json") for person in kept]).encode()
            places.append((self._spool.tell(), len(line)))
            self._spool.write(line)

    def _size_of(self, name: str) -> tuple[int, int] | None:
        try:
            width, height, _ = self._photo(self._photos.find(name))
        except InputError:
            return None
        return width, height

    def _photo(self, path: Path) -> tuple[int, int, str]:
        """Width, height and hash; formats that need the size ask before the hash is needed."""
        if path not in self._read:
            image = load_image(path)
            self._read[path] = (image.shape[1], image.shape[0], pixel_hash(image))
        return self._read[path]
