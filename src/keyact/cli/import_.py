"""``keyact import``: key points of other programs as a cache that keyact works from."""

from __future__ import annotations

import errno
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.progress import track

from keyact.cli.problems import Problems, problems_of
from keyact.cli.terminal import FAILED, MAX_SHOWN, console, one_line_errors
from keyact.errors import InputError, KeyactError
from keyact.formats import FORMATS, Options, PhotoPeople, alphapose, get_format, read
from keyact.formats.base import MAX_PEOPLE
from keyact.formats.cache import model_name, pixel_hash
from keyact.media import load_image
from keyact.media.photo_folder import PhotoFolder, SeveralPhotos
from keyact.replacing import replacing, same_place
from keyact.results import FrameResult, Person


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
    problems_to: Annotated[
        Path | None,
        typer.Option(
            "--problems",
            metavar="FILE",
            help=f"Write all that is left out, a line each; {MAX_SHOWN} of a kind are printed.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Make a key point cache from the files of other programs.

    Photos are found again by their pixels, so the cache works from every folder. What cannot be
    used is reported and left out. The people of a cache have one layout, that of the first entry
    where --layout names none. The exit status is 0 when all was taken, 1 when something was left
    out, and 2 for a wrong option.
    """
    messages = console(stderr=True)
    with one_line_errors():
        get_format(format_name)
        if annotations is not None and format_name != "coco":
            raise typer.BadParameter(f"--annotations is for coco, not for {format_name}")
        places = {same_place(path) for path in (*files, annotations) if path is not None}
        for option, path in (("--out", out), ("--problems", problems_to)):
            if path is not None and same_place(path) in places:
                raise typer.BadParameter(f"{option} {path} would overwrite an input or --out")
            places |= {same_place(path)} if path is not None else set()
        failure: InputError | None = None
        written = 0
        with problems_of(problems_to, messages) as problems, _spool() as spool:
            run = _Import(PhotoFolder(images), spool, problems, layout, annotations)
            for file in files:
                try:
                    run.collect(format_name, file)
                except InputError as error:
                    problems.of_entry(str(error))
            if add_empty:
                run.add_empty()
            spool.flush()
            try:
                written = _write(run, out, format_name, messages)
            except InputError as error:  # then the list of problems says why
                failure = error
        if failure is not None:
            raise failure
        if run.heads * 2 > run.people:
            messages.print(
                f"{out}: {run.heads} of {run.people} people have a neck beyond the nose: AlphaPose "
                "writes joint 17, of Halpe the top of the head, where these files have the neck. "
                "Its default form has no such mistake.",
                markup=False,
                soft_wrap=True,
            )
        table = console()
        for line in (
            f"{out}: {written} photos, {run.people} people, {run.layout}",
            f"Use it: keyact predict {images} "
            f"--detector precomputed:{out} --pose precomputed:{out}",
        ):
            table.print(line, markup=False, soft_wrap=True)
        if problems.found:
            raise typer.Exit(FAILED)


def _write(run: _Import, out: Path, format_name: str, messages: Console) -> int:
    """Write the cache; how many photos are in it."""
    written = 0
    kept = "is left as it was" if out.exists() else "is not made"
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
            raise InputError(f"no people to import, so {out} {kept}")
    return written


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    """A file on disk for the people, who may be more than memory holds."""
    try:
        with tempfile.TemporaryFile() as spool:
            yield spool
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise KeyactError(
            f"{tempfile.gettempdir()}: {error.strerror}; people are kept there until the cache is "
            "written: set TMPDIR to a folder with more room"
        ) from None


class _Import:
    """One run: collect people by photo in a file on disk, then write them photo by photo."""

    def __init__(
        self,
        photos: PhotoFolder,
        spool: IO[bytes],
        problems: Problems,
        layout: str | None,
        annotations: Path | None,
    ) -> None:
        self.people = 0
        self.heads = 0  # people whose neck is the top of the head
        self.layout: str | None = None
        self._photos = photos
        self._spool = spool
        self._problems = problems
        self._options = Options(layout, problems.of_entry, self._size_of, annotations)
        self._places: dict[Path, list[tuple[int, int]]] = {}
        self._counts: Counter[Path] = Counter()  # people, also those that are not kept
        self._stated: dict[Path, tuple[int, int]] = {}
        self._read: dict[Path, tuple[int, int, str]] = {}

    @property
    def found(self) -> int:
        """Photos that `results` will read."""
        return len(self._places)

    def collect(self, format_name: str, file: Path) -> None:
        """Read a file, or a folder of files."""
        lost: Counter[str] = Counter()  # people by what is wrong with their photo
        told: dict[str, tuple[str, str]] = {}  # ... where it is named first, and the remedy
        try:
            for photo in read(format_name, file, self._options):
                if photo.frame is not None:
                    raise InputError(f"{file}: is about a video's frames; only photos are imported")
                try:
                    path = self._photos.find(photo.image, number=photo.numbered)
                except InputError as error:
                    place = photo.places[0] if photo.places else str(file)
                    told.setdefault(str(error), (place, _remedy(error, photo.numbered)))
                    lost[str(error)] += len(photo.people)
                    continue
                if format_name == alphapose.FORMAT.name:
                    self.heads += sum(map(alphapose.head_for_neck, photo.people))
                self._keep(path, photo)
        finally:
            for wrong, (place, remedy) in told.items():
                self._problems.of_photo(
                    f"{place}: {wrong}; people left out: {lost[wrong]}; {remedy}"
                )

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
                self._problems.of_photo(f"{error}; people left out: {self._counts[path]}")
                continue
            stated = self._stated.get(path, (width, height))
            if stated != (width, height):
                self._problems.of_photo(
                    f"{path}: has {width} x {height} pixels, but the key points are of a photo of "
                    f"{stated[0]} x {stated[1]}; people left out: {self._counts[path]}"
                )
                continue
            people = []
            for start, length in places:
                self._spool.seek(start)
                people += json.loads(self._spool.read(length))
            if self._counts[path] > MAX_PEOPLE:
                self._problems.of_photo(
                    f"{path}: {self._counts[path]} people; only {MAX_PEOPLE} are kept"
                )
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
        people: list[Person] = []
        for person, place in zip(photo.people, photo.places, strict=True):
            self.layout = self.layout or person.layout
            if person.layout == self.layout:
                people.append(person)
                continue
            self._problems.of_entry(
                f"{place}: its layout is {person.layout}, but the first entry's {self.layout}, and "
                f"a cache has one: left out; --layout {person.layout} takes these instead"
            )
        if photo.width is not None and photo.height is not None:
            self._stated[path] = (photo.width, photo.height)
        places = self._places.setdefault(path, [])
        kept = people[: max(MAX_PEOPLE - self._counts[path], 0)]
        self._counts[path] += len(people)
        if kept:
            line = json.dumps([person.model_dump(mode="json") for person in kept]).encode()
            places.append((self._spool.tell(), len(line)))
            self._spool.write(line)

    def _size_of(self, name: str) -> tuple[int, int]:
        width, height, _ = self._photo(self._photos.find(name, number=False))
        return width, height

    def _photo(self, path: Path) -> tuple[int, int, str]:
        """Width, height and hash; formats that need the size ask before the hash is needed."""
        if path not in self._read:
            image = load_image(path)
            self._read[path] = (image.shape[1], image.shape[0], pixel_hash(image))
        return self._read[path]


def _remedy(error: InputError, numbered: bool) -> str:
    if numbered:
        return "keyact import coco --annotations FILE gives numbers the names of photos"
    if isinstance(error, SeveralPhotos):
        return (
            "import the results of each folder by themselves, with --images on that folder, and "
            "join the caches: cat a.jsonl b.jsonl > all.jsonl"
        )
    return "--images names the folder that has it"
