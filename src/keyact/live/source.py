"""What `keyact live` can watch: cameras, network streams, video files, folders of photos."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.media import find_media, iter_frames, load_image
from keyact.media.image import ImageLimits
from keyact.media.probe import probe_video
from keyact.media.stream import SCHEMES, Stream, camera_name, public_address
from keyact.media.video import VideoLimits

Kind: TypeAlias = Literal["camera", "network", "file", "photos"]

PHOTO_SECONDS = 1.0
"""How long each photo of a folder is shown, where time counts."""


class Picture(NamedTuple):
    """One frame of a source.

    Attributes
    ----------
    seconds : since the source was opened, by its own clock.
    pixels : (H, W, 3) BGR; or what was wrong with this one, when the rest goes on.
    name : its own, where each is a file.
    """

    seconds: float
    pixels: NDArray[np.uint8] | InputError
    name: str | None = None


class Frames(Protocol):
    """An open source.

    Attributes
    ----------
    rate : frames per second that it promises.
    recorded : it has an end, and its own clock says when each frame is due.
    """

    @property
    def rate(self) -> float: ...

    @property
    def recorded(self) -> bool: ...

    def __iter__(self) -> Iterator[Picture]:
        """Raises InputError when it breaks off."""

    def close(self) -> None:
        """Let go of it, after the iteration."""


@dataclass(frozen=True)
class Source:
    """Something to watch.

    Attributes
    ----------
    kind : what it is.
    address : where it is; of a network stream with its password.
    name : what it is called in results and messages.
    """

    kind: Kind
    address: str = field(repr=False)
    name: str

    @property
    def comes_back(self) -> bool:
        """Whether it is worth while to try again when it breaks off."""
        return self.kind in ("camera", "network")

    def open(self, max_pixels: int) -> Frames:
        """Open it.

        Raises
        ------
        InputError : it cannot be opened.
        """
        limits = VideoLimits(max_pixels)
        if self.comes_back:
            return _Stream(Stream(self.address, camera=self.kind == "camera", limits=limits))
        if self.kind == "photos":
            return _Photos(self.address, max_pixels)
        return _File(self.address, limits)


def parse_source(text: str, allow_network: bool = False) -> Source:
    """What a source on the command line stands for.

    Parameters
    ----------
    text : a camera's number or device file, an address of `keyact.media.stream.SCHEMES`, a video
        file, or a folder of photos. A file that is called ``0`` is ``./0``.
    allow_network : the operator wants addresses to be opened.

    Raises
    ------
    InputError : there is no such file, no such scheme, or the network is not allowed.
    """
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", text)
    if scheme:
        name = public_address(text)
        if scheme[1].lower() not in SCHEMES:
            raise InputError(f"{name}: an address starts with one of {', '.join(SCHEMES)}")
        if not allow_network:
            raise InputError(f"{name}: is on the network; add --allow-network to open it")
        return Source("network", text, name)
    if text.isdecimal() or text.startswith("/dev/"):
        return Source("camera", text, camera_name(text))
    path = Path(text)
    if path.is_dir():
        if not any(item.kind == "photo" for item in find_media([path])):
            raise InputError(f"{text}: holds no photos; give its videos one by one")
        return Source("photos", text, text)
    if not path.is_file():
        raise InputError(f"{text}: no such file or folder, and no camera or address either")
    (item,) = find_media([path])
    video = item.kind == "video" or probe_video(path).frames is not None
    return Source("file" if video else "photos", text, text)


class _Stream:
    def __init__(self, stream: Stream) -> None:
        self.rate, self.recorded = stream.rate, stream.recorded
        self._stream = stream

    def __iter__(self) -> Iterator[Picture]:
        return (Picture(seconds, pixels) for seconds, pixels in self._stream)

    def close(self) -> None:
        self._stream.close()


class _File:
    recorded = True

    def __init__(self, path: str, limits: VideoLimits) -> None:
        self.rate = probe_video(path).rate
        self._frames = iter_frames(path, limits=limits)

    def __iter__(self) -> Iterator[Picture]:
        first: float | None = None
        for _, seconds, pixels in self._frames:
            first = seconds if first is None else first
            yield Picture(seconds - first, pixels)

    def close(self) -> None:
        self._frames.close()  # type: ignore[attr-defined]


class _Photos:
    recorded = True
    rate = 1 / PHOTO_SECONDS

    def __init__(self, path: str, max_pixels: int) -> None:
        self._paths: Iterable[Path] = [i.path for i in find_media([path]) if i.kind == "photo"]
        self._limits = ImageLimits(max_pixels=max_pixels)

    def __iter__(self) -> Iterator[Picture]:
        for number, path in enumerate(self._paths):
            pixels: NDArray[np.uint8] | InputError
            try:
                pixels = load_image(path, limits=self._limits)
            except InputError as error:
                pixels = error
            yield Picture(number * PHOTO_SECONDS, pixels, str(path))

    def close(self) -> None:
        pass
