"""What clients send: read with limits, and named for messages."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from anyio import open_file
from fastapi import HTTPException, Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from keyact.errors import InputError
from keyact.media.image import ImageLimits, load_image
from keyact.serve.settings import ServeSettings

_FORM = "multipart/form-data"
_UNSAFE = re.compile(r"[^\w .()+-]+")
_TEXT = 2**20  # bytes of a form's boundaries and headers

Kind: TypeAlias = Literal["photo", "clip"]


@dataclass(frozen=True)
class Upload:
    """One photo or clip.

    Attributes
    ----------
    kind : told by the first bytes, not by what the client says.
    name : the client's name for it, without folders; for results and messages only.
    file : where the bytes are until the request ends.
    """

    kind: Kind
    name: str
    file: Path

    def pixels(self, settings: ServeSettings) -> NDArray[np.uint8]:
        """The upright photo, BGR.

        Raises
        ------
        InputError : not a photo, damaged, or too many pixels.
        """
        return decode_photo(self.file.read_bytes(), self.name, settings)


def decode_photo(data: bytes, name: str, settings: ServeSettings) -> NDArray[np.uint8]:
    """The upright photo, BGR (H, W, 3) uint8.

    Raises
    ------
    InputError : not a photo, damaged, or too many pixels; it is named ``name``.
    """
    limits = ImageLimits(max_bytes=settings.max_clip_bytes, max_pixels=settings.max_pixels)
    try:
        return load_image(data, limits=limits)
    except InputError as error:
        raise InputError(str(error).replace("<bytes>", name, 1)) from None


@asynccontextmanager
async def uploaded(
    request: Request, settings: ServeSettings, admit: Callable[[Kind], None]
) -> AsyncIterator[Upload]:
    """The photo or clip of a request: the body itself, or the form's part ``file``.

    Parameters
    ----------
    admit : told what it is as soon as that shows; what it raises refuses the rest.

    Raises
    ------
    HTTPException : 413 too large, 415 neither photo nor clip, 422 no such part or nothing in it.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "send the file as it is, without a Content-Encoding")
    with tempfile.TemporaryDirectory(prefix="keyact-") as folder:
        file = Path(folder, "upload")
        if request.headers.get("content-type", "").startswith(_FORM):
            async with request.form(max_files=1, max_fields=4) as form:
                part = form.get("file")
                if not isinstance(part, UploadFile):
                    raise HTTPException(422, "the form has no file in its part named 'file'")
                name = clean_name(part.filename)
                chunks = _chunks(part)
                kind = await _store(chunks, file, settings, admit)
        else:
            name = clean_name(request.headers.get("x-file-name"))
            kind = await _store(request.stream(), file, settings, admit)
        yield Upload(kind, name, file)


def clean_name(name: str | None) -> str:
    """A client's file name without folders and control characters, at most 100 letters."""
    base = re.split(r"[/\\]", name or "")[-1]
    return _UNSAFE.sub("_", base).strip(". ")[:100] or "upload"


def sniff(head: bytes) -> Kind | None:
    """What a file is, by its first 16 bytes or more."""
    if head[4:8] == b"ftyp":
        return "photo" if head[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1") else "clip"
    if head[:4] == b"RIFF":
        return {b"WEBP": "photo", b"AVI ": "clip"}.get(head[8:12])  # type: ignore[return-value]
    if head.startswith(
        (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P4", b"P5", b"P6")
    ):
        return "photo"
    if head.startswith(
        (
            b"\x1aE\xdf\xa3",
            b"\0\0\x01\xba",
            b"\0\0\x01\xb3",
            b"OggS",
            b"FLV\x01",
            b"\x30\x26\xb2\x75",
        )
    ) or head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "clip"
    return "clip" if head[:1] == b"G" and len(head) > 188 and head[188:189] == b"G" else None


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(2**20):
        yield chunk


async def _store(
    chunks: AsyncIterator[bytes],
    file: Path,
    settings: ServeSettings,
    admit: Callable[[Kind], None],
) -> Kind:
    """Write the bytes while they come; refuse as soon as they are the wrong ones or too many."""
    kind: Kind | None = None
    head = b""
    total = 0
    async with await open_file(file, "wb") as out:
        async for chunk in chunks:
            total += len(chunk)
            if kind is None:
                head += chunk
                if len(head) >= 512:
                    kind = _known(head)
                    admit(kind)
            limit = settings.max_photo_bytes if kind == "photo" else settings.max_clip_bytes
            if total > limit:
                raise HTTPException(413, f"a {kind or 'file'} has at most {limit} bytes")
            await out.write(chunk)
    if not total:
        raise HTTPException(422, "the upload is empty")
    if kind is None:  # a very small one
        kind = _known(head)
        admit(kind)
    return kind


def _known(head: bytes) -> Kind:
    kind = sniff(head)
    if kind is None:
        raise HTTPException(
            415,
            "neither a photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF) nor a clip "
            "(MP4, WebM, MKV, MOV, AVI, MPEG)",
        )
    return kind


def body_limit(settings: ServeSettings) -> int:
    """Bytes that no request may exceed, whatever it is."""
    return max(settings.max_clip_bytes, settings.max_photo_bytes) + _TEXT
