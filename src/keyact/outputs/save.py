"""Saving annotated photos and clips, so that a half-written file never takes the final name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from keyact.errors import KeyactError
from keyact.outputs.audio import AudioTrack
from keyact.replacing import part_of, replacing, same_place

if TYPE_CHECKING:
    import av

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")

_JPEG_QUALITY = 92
_LONGEST = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
"""Pixels that a side may have; OpenCV would print lines of its own about more."""
_TICK = Fraction(1, 1000)  # of clips whose frames come at times of their own
_VIDEO_CODECS = (("libx264", {"crf": "20", "preset": "veryfast"}), ("mpeg4", {"qscale": "3"}))


class SaveError(KeyactError):
    """An annotated copy cannot be written; what else a run writes may go on."""


def save_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write a picture atomically; missing folders are made.

    Parameters
    ----------
    path : str or Path
        Target; the suffix chooses the format.
    image : ndarray, shape (H, W, 3), uint8
        BGR pixels.

    Raises
    ------
    SaveError
        If the suffix is unknown or the file cannot be written.
    """
    import cv2

    path = _checked(path, PHOTO_SUFFIXES)
    height, width = image.shape[:2]
    longest = _LONGEST.get(path.suffix.lower())
    if longest and max(height, width) > longest:
        raise SaveError(
            f"{path}: {width} x {height} pixels are too many for {path.suffix}, which has at most "
            f"{longest} on a side"
        )
    try:
        jpeg = path.suffix.lower() in (".jpg", ".jpeg")  # others warn of a quality
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if jpeg else []
        done, encoded = cv2.imencode(path.suffix, image, quality)
    except cv2.error as error:
        raise SaveError(f"{path}: the picture cannot be encoded: {error}") from None
    if not done:
        raise SaveError(f"{path}: the picture cannot be encoded as {path.suffix}")
    with replacing(path, SaveError) as part:
        part.write_bytes(encoded.tobytes())


def unique_path(folder: str | Path, source: str | Path, suffix: str, taken: set[Path]) -> Path:
    """Pick a file name for the annotated copy of a source.

    Parameters
    ----------
    folder : str or Path
        Where the copy goes.
    source : str or Path
        The photo or video; its stem is kept.
    suffix : str
        Suffix of the copy, such as ``".jpg"``.
    taken : set of Path
        Names given so far in this run, and files that must not be written over, as
        :func:`keyact.replacing.same_place` gives them; the new one is added. Photos of the same
        name from different folders thus get ``-2``, ``-3`` and so on.

    Returns
    -------
    Path
        Never the source file itself.
    """
    stem, own = Path(source).stem or "photo", same_place(source)
    number = 1
    while True:
        path = Path(folder, f"{stem}-{number}{suffix}" if number > 1 else f"{stem}{suffix}")
        place = same_place(path)
        if place not in taken and place != own:
            taken.add(place)
            return path
        number += 1


class VideoWriter:
    """Write an annotated clip with PyAV: H.264, or MPEG-4 where the build has no H.264 encoder.

    Frames go to a temporary file beside the target, which takes the target's name when the
    writer is closed; an exception inside the ``with`` block leaves no file behind.

    Parameters
    ----------
    path : str or Path
        Target, ending in .mp4, .mov or .mkv.
    rate : float or Fraction
        Frames per second.
    audio_from : str or Path, optional
        The video whose sound the clip gets, as far as the clip is long. Sound that cannot be
        copied is left out.

    Raises
    ------
    SaveError
        If the suffix is unknown or the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        rate: float | Fraction,
        audio_from: str | Path | None = None,
    ) -> None:
        import av

        self.path = _checked(path, VIDEO_SUFFIXES)
        self._rate = Fraction(rate).limit_denominator(1001 * 60)
        self._stream: Any = None
        self._audio = None if audio_from is None else AudioTrack(audio_from)
        self._frames = 0
        self._begin: float | None = None
        self._last = -1
        with _reported(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = part_of(self.path)
            self._container: av.container.OutputContainer | None = av.open(
                str(self._temporary), mode="w"
            )

    def write(self, frame: NDArray[np.uint8], seconds: float | None = None) -> None:
        """Append one BGR frame (H, W, 3); later frames are fitted to the first one's size.

        Parameters
        ----------
        seconds : when the frame is shown, for clips whose frames do not come at an even pace;
            for all frames or for none. The first is shown at 0.
        """
        import av
        import cv2

        if self._container is None:
            raise ValueError("the clip is closed")
        if self._stream is None:
            height, width = frame.shape[:2]
            self._open_stream(width + width % 2, height + height % 2, seconds is not None)
        width, height = self._stream.width, self._stream.height
        missing_rows, missing_columns = height - frame.shape[0], width - frame.shape[1]
        if missing_rows in (0, 1) and missing_columns in (0, 1):
            # H.264's colour planes need even sizes: repeat the last row or column.
            frame = np.pad(frame, ((0, missing_rows), (0, missing_columns), (0, 0)), mode="edge")
        else:
            frame = np.asarray(cv2.resize(frame, (width, height)), dtype=np.uint8)
        with _reported(self.path):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
            if seconds is not None:
                picture.time_base = _TICK
                picture.pts = self._ticks(seconds)
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        self._frames += 1
        if self._audio is not None:
            self._audio.write_until(self._length())

    def _ticks(self, seconds: float) -> int:
        if self._begin is None:
            self._begin = seconds
        # Each later than the one before, or the file could not hold it.
        self._last = max(self._last + 1, round((seconds - self._begin) / _TICK))
        return self._last

    def _length(self) -> float:
        """Seconds of the clip so far; how long its last frame is shown, only the rate can tell."""
        if self._begin is None:
            return float(self._frames / self._rate)
        return float(self._last * _TICK + 1 / self._rate)

    def close(self) -> None:
        """Finish the file and give it its name. A clip without frames is dropped."""
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            with _reported(self.path):
                if self._stream is not None:
                    for packet in self._stream.encode(None):
                        container.mux(packet)
                if self._audio is not None:
                    self._audio.close()
                container.close()
                if self._stream is not None:
                    os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def abort(self) -> None:
        """Drop what was written."""
        if self._audio is not None:
            self._audio.close()
        if self._container is not None:
            self._container.close()
            self._container = None
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _open_stream(self, width: int, height: int, timed: bool) -> None:
        import av

        assert self._container is not None
        codec, options = next(
            choice for choice in _VIDEO_CODECS if choice[0] in av.codecs_available
        )
        with _reported(self.path):
            self._stream = self._container.add_stream(codec, rate=self._rate, options=options)
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"
            if timed:
                self._stream.codec_context.time_base = _TICK
            if self._audio is not None:
                self._audio.attach(self._container)


def _checked(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise SaveError(f"{path}: the name must end in one of {' '.join(suffixes)}")
    return path


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn the system's and FFmpeg's errors into one line; PyAV's derive from these two."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SaveError(f"{path}: cannot be written: {reason}") from None
