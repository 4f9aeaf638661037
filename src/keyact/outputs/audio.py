"""The sound of one video, for its annotated copy: packets copied, or encoded anew as AAC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keyact.media.video import _CONTAINERS

# What players expect in MP4 and MOV; Matroska takes these as well.
_COPIED = ("aac", "mp3", "ac3", "eac3", "alac")


class AudioTrack:
    """The first audio stream of a video, written little by little beside the frames.

    Sound that cannot be read or written is left out: it must not cost the picture.

    Parameters
    ----------
    source : the video that was read.
    """

    def __init__(self, source: str | Path) -> None:
        self._source = Path(source)
        self._packets: Iterator[tuple[float, Any]] | None = None
        self._waiting: tuple[float, Any] | None = None
        self._target: Any = None

    def attach(self, target: Any) -> None:
        """Add the stream to an output container, before its first packet."""
        import av

        self._target = target
        with contextlib.suppress(av.FFmpegError, OSError, ValueError, IndexError):
            self._packets = self._open(target)
            self._advance()

    def write_until(self, seconds: float) -> None:
        """Write what sounds before a time of the copy; the rest waits, so memory stays small."""
        import av

        try:
            while self._waiting is not None and self._waiting[0] < seconds:
                self._target.mux(self._waiting[1])
                self._advance()
        except (av.FFmpegError, OSError, ValueError):
            self.close()

    def close(self) -> None:
        """Let go of the source."""
        packets, self._packets, self._waiting = self._packets, None, None
        if packets is not None:
            packets.close()  # type: ignore[attr-defined]

    def _advance(self) -> None:
        self._waiting = None if self._packets is None else next(self._packets, None)

    def _open(self, target: Any) -> Iterator[tuple[float, Any]] | None:
        import av

        file = self._source.open("rb")  # a name could carry a protocol
        try:
            container = av.open(file, "r", options={"format_whitelist": _CONTAINERS})
            if not container.streams.audio:
                container.close()
                file.close()
                return None
            stream = container.streams.audio[0]
            begin = 0.0
            if container.streams.video:
                video = container.streams.video[0]
                begin = float((video.start_time or 0) * (video.time_base or 0))
            if stream.codec_context.name in _COPIED:
                copy = target.add_stream_from_template(stream)
                packets = _copied(container, stream, copy, begin)
            else:
                encoder = target.add_stream("aac", rate=stream.codec_context.sample_rate)
                packets = _encoded(container, stream, encoder, begin)
        except BaseException:
            file.close()
            raise
        return _closing(packets, container, file)


def _closing(
    packets: Iterator[tuple[float, Any]], container: Any, file: Any
) -> Iterator[tuple[float, Any]]:
    try:
        yield from packets
    finally:
        container.close()
        file.close()


def _copied(container: Any, stream: Any, copy: Any, begin: float) -> Iterator[tuple[float, Any]]:
    shift = round(begin / stream.time_base)
    for packet in container.demux(stream):
        if packet.dts is None or packet.pts is None or packet.pts < shift:
            continue  # the end's empty packet, and sound from before the picture
        packet.pts -= shift
        packet.dts = max(packet.dts - shift, 0)
        packet.stream = copy
        yield float(packet.pts * stream.time_base), packet


def _encoded(
    container: Any, stream: Any, encoder: Any, begin: float
) -> Iterator[tuple[float, Any]]:
    import av

    resample = av.AudioResampler(
        format=encoder.codec_context.format.name if encoder.codec_context.format else "fltp",
        layout="stereo" if stream.codec_context.channels > 1 else "mono",
        rate=encoder.codec_context.sample_rate,
    )
    encoder.codec_context.layout = "stereo" if stream.codec_context.channels > 1 else "mono"
    for frame in container.decode(stream):
        if frame.pts is None or float(frame.pts * frame.time_base) < begin:
            continue
        frame.pts -= round(begin / frame.time_base)
        for part in resample.resample(frame):
            for packet in encoder.encode(part):
                yield _seconds(packet), packet
    for packet in encoder.encode(None):
        yield _seconds(packet), packet


def _seconds(packet: Any) -> float:
    return float((packet.pts or 0) * (packet.time_base or 0))
