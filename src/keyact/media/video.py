"""Video reading through PyAV (FFmpeg's libraries, inside its wheel)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError

# Containers of local clips only: a playlist or "concat" file makes FFmpeg open other files and
# addresses, so those demuxers are never tried.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,gif"


@dataclass(frozen=True)
class VideoLimits:
    """What a video may cost before it is refused.

    Attributes
    ----------
    max_pixels : int
        Pixels of one frame, checked before it is decoded; the default admits 8K.
    """

    max_pixels: int = 36_000_000


DEFAULT_LIMITS = VideoLimits()


def iter_frames(
    path: str | Path,
    every: int = 1,
    max_frames: int | None = None,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """Decode a video frame by frame.

    Parameters
    ----------
    path : str or Path
        A local video file.
    every : int, default 1
        Yield frames 0, every, 2 * every and so on.
    max_frames : int, optional
        Stop after this many yielded frames.
    limits : VideoLimits
        Caps on the frame size.

    Yields
    ------
    index : int
        Number of the frame in the file, from 0.
    timestamp : float
        Presentation time in seconds.
    frame : ndarray, shape (H, W, 3), uint8
        BGR, turned upright when the container says that the camera was held sideways.

    Raises
    ------
    InputError
        If the file is missing, holds no video that can be decoded, or is damaged; frames before
        the damage have been yielded by then.
    ValueError
        If ``every`` or ``max_frames`` is below 1.
    """
    if every < 1 or (max_frames is not None and max_frames < 1):
        raise ValueError(f"every and max_frames are at least 1, got {every} and {max_frames}")
    return _frames(str(path), every, max_frames, limits)


def _frames(
    path: str, every: int, max_frames: int | None, limits: VideoLimits
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    import av

    yielded = 0
    try:
        if not Path(path).is_file():
            what = "is not a regular file" if Path(path).exists() else "no such video file"
            raise InputError(f"{path}: {what}")
        # An open file rather than a name: names can carry protocols ("http:", "concat:").
        with (
            open(path, "rb") as file,
            av.open(file, mode="r", options={"format_whitelist": _CONTAINERS}) as container,
        ):
            if not container.streams.video:
                raise InputError(f"{path}: holds no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            _check_size(path, stream.codec_context.width, stream.codec_context.height, limits)
            rate = float(stream.average_rate or 25)
            for index, frame in enumerate(container.decode(stream)):
                if index % every:
                    continue
                _check_size(path, frame.width, frame.height, limits)
                seconds = frame.time if frame.time is not None else index / rate
                pixels = np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
                yield index, float(seconds), _upright(pixels, getattr(frame, "rotation", 0))
                yielded += 1
                if yielded == max_frames:
                    return
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        after = f" after {yielded} frames" if yielded else ""
        raise InputError(f"{path}: cannot be decoded as a video{after} ({reason})") from None
    if not yielded:
        raise InputError(f"{path}: the video has no frames")


def _upright(frame: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Turn by the container's display rotation, counter-clockwise degrees."""
    quarter_turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame, quarter_turns)) if quarter_turns else frame


def _check_size(path: str, width: int, height: int, limits: VideoLimits) -> None:
    if width * height > limits.max_pixels:
        raise InputError(
            f"{path}: frames of {width} x {height} pixels are over the limit of "
            f"{limits.max_pixels / 1e6:g} megapixels"
        )
