"""Cameras and network streams through PyAV: frames as they come, or an error after a time-out."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.media.video import _CONTAINERS, DEFAULT_LIMITS, VideoLimits, _check_size, _upright

SCHEMES = ("rtsp", "rtsps", "http", "https")
"""Schemes of the addresses that can be opened."""
TIMEOUT = 10.0
"""Seconds without an answer or a frame after which a stream is given up."""

# What a stream may be, and what it may open on its own: nothing on this machine's disk.
_FORMATS = f"{_CONTAINERS},rtsp,rtp,sdp,mpjpeg,mjpeg,hls,h264,hevc"
_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtsps,srtp,crypto"
_MAX_DAMAGED = 100  # packets one after the other that cannot be decoded
_DEFAULT_RATE = 25.0


class Stream:
    """An open camera or network stream.

    Parameters
    ----------
    address : an address of `SCHEMES`, or the number or file of a camera.
    camera : it is a camera.
    timeout : seconds, see `TIMEOUT`. A camera's driver has its own.
    limits : caps on the frame size, also when it changes on the way.

    Attributes
    ----------
    rate : frames per second that it promises.
    recorded : it has a length, as a file on a web server has, and ends by itself.

    Raises
    ------
    InputError : it cannot be opened, or holds no video.
    """

    def __init__(
        self,
        address: str,
        *,
        camera: bool = False,
        timeout: float = TIMEOUT,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        import av

        self.name = camera_name(address) if camera else public_address(address)
        self._limits = limits
        file, form = _device(address) if camera else (address, None)
        try:
            self._container: Any = av.open(
                file, "r", format=form, options=_options(camera, address), timeout=timeout
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed("cannot be opened", error) from None
        try:
            if not self._container.streams.video:
                raise InputError(f"{self.name}: holds no video stream")
            self._stream = self._container.streams.video[0]
            context = self._stream.codec_context
            _check_size(self.name, context.width, context.height, limits)
            # Refused by the decoder, before there is memory for it.
            context.options = {"max_pixels": str(limits.max_pixels)}
            self.rate = float(self._stream.average_rate or _DEFAULT_RATE)
            self.recorded = not camera and (self._container.duration or 0) > 0
            # Threads that work on a frame each would hold back as many frames as there are.
            self._stream.thread_type = "AUTO" if self.recorded else "SLICE"
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Seconds by the stream's own clock, and BGR pixels (H, W, 3) of any size.

        Raises
        ------
        InputError : it broke off, or a live one ended.
        """
        import av

        first: float | None = None
        number = damaged = 0
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    damaged += 1
                    if damaged > _MAX_DAMAGED:
                        raise
                    continue
                for frame in frames:
                    damaged = 0
                    _check_size(self.name, frame.width, frame.height, self._limits)
                    seconds = number / self.rate if frame.time is None else float(frame.time)
                    first = seconds if first is None else first
                    number += 1
                    pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    yield seconds - first, _upright(pixels, getattr(frame, "rotation", 0))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed("broke off", error) from None
        if not self.recorded:
            raise InputError(f"{self.name}: the stream has ended")

    def close(self) -> None:
        """Let go of the camera or connection."""
        self._container.close()

    def _failed(self, what: str, error: Exception) -> InputError:
        # Not str(error): it repeats the address with its password.
        reason = getattr(error, "strerror", None) or type(error).__name__
        return InputError(f"{self.name}: {what} ({reason})")


def public_address(address: str) -> str:
    """An address without the password and the query, which may be one, for results and messages."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def camera_name(camera: str) -> str:
    """What a camera is called, by its number or file."""
    return f"camera {int(camera)}" if camera.isdecimal() else camera


def _options(camera: bool, address: str) -> dict[str, str]:
    if camera:
        # macOS wants a rate that the camera has, and takes none by itself.
        return {"framerate": "30"} if platform.system() == "Darwin" else {}
    options = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": _PROTOCOLS,
        "fflags": "nobuffer",  # the newest frame, not a smooth picture
    }
    if address.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"  # UDP loses packets, and most firewalls lose all of them
    return options


def _device(camera: str) -> tuple[str, str]:
    """File and format by which FFmpeg knows a camera."""
    import av

    system = platform.system()
    if system == "Darwin":
        return f"{camera}:none", "avfoundation"  # no microphone
    if system != "Windows":
        return f"/dev/video{camera}" if camera.isdecimal() else camera, "v4l2"
    if not camera.isdecimal():
        return f"video={camera}", "dshow"
    enumerate_devices = getattr(av, "enumerate_input_devices", None)  # PyAV 17 and newer
    if enumerate_devices is None:
        raise InputError(f"camera {camera}: needs a newer PyAV: python -m pip install -U av")
    found = [device.name for device in enumerate_devices("dshow")]
    if int(camera) >= len(found):
        raise InputError(f"camera {camera}: there is none; found: {', '.join(found) or 'nothing'}")
    return f"video={found[int(camera)]}", "dshow"
