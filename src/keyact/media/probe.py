"""What a video's header says of its length and rate; nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keyact.media.video import _CONTAINERS


@dataclass(frozen=True)
class VideoInfo:
    """A video's header.

    Attributes
    ----------
    frames : int or None
        Frames in the file, an estimate; None when the header does not tell.
    rate : float
        Frames per second.
    """

    frames: int | None = None
    rate: float = 25.0


def probe_video(path: str | Path) -> VideoInfo:
    """Read a video's header, for progress bars and for writing a clip at the same pace.

    Parameters
    ----------
    path : str or Path
        A local video file.

    Returns
    -------
    VideoInfo
        Its defaults when the file cannot be opened: :func:`keyact.media.iter_frames` then says
        why.
    """
    import av

    try:
        if not Path(path).is_file():  # a pipe would block
            return VideoInfo()
        with (
            open(path, "rb") as file,
            av.open(file, "r", options={"format_whitelist": _CONTAINERS}) as container,
        ):
            stream = container.streams.video[0]
            rate = float(stream.average_rate or VideoInfo.rate)
            frames = stream.frames
            if not frames and container.duration:
                frames = round(container.duration / av.time_base * rate)
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return VideoInfo()
    return VideoInfo(frames if frames > 0 else None, rate)
