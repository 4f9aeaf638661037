"""Cameras that tests can have: an MJPEG and an RTSP server that break off, sources made up."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from keyact.errors import InputError
from keyact.live.source import Picture, Source


def person(width: int, height: int, shift: int = 0) -> np.ndarray:
    """A red person on grey, as the tiny detector finds them; BGR."""
    pixels = np.full((height, width, 3), 200, np.uint8)
    x = width // 4 + shift % (width // 4)
    pixels[height // 5 : 4 * height // 5, x : x + width // 3] = (30, 30, 230)
    return pixels


def write_clip(
    path: Path,
    frames: int = 20,
    rate: int = 10,
    size: tuple[int, int] = (128, 96),
    codec: str = "mpeg4",
) -> Path:
    """A clip of one person who walks."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(person(*size, number), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def sizes_and_times(path: Path) -> tuple[list[tuple[int, int]], list[float]]:
    """Of every frame of a clip."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [(f.width, f.height) for f in frames], [float(f.time) for f in frames]


@dataclass
class MjpegServer:
    """A network camera; each connection has its own list of frame sizes, then breaks off."""

    connections: Sequence[Sequence[tuple[int, int]]]
    pause: float = 0.03
    asked: int = 0
    paths: list[str] = field(default_factory=list)

    def __enter__(self) -> MjpegServer:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                camera.paths.append(self.path)
                number, camera.asked = camera.asked, camera.asked + 1
                if number >= len(camera.connections):
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for shift, size in enumerate(camera.connections[number]):
                    data = cv2.imencode(".jpg", person(*size, shift))[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                    try:
                        self.wfile.write(head.encode() + b"\r\n\r\n" + data + b"\r\n")
                    except OSError:
                        return
                    time.sleep(camera.pause)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://user:secret@127.0.0.1:{self._server.server_port}/door?key=secret"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class RtspServer:
    """Answers one RTSP client over TCP, with the RTP packets that FFmpeg makes of some frames."""

    _SDP = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:t\r\n"
    )

    def __init__(self, frames: int = 40) -> None:
        self._frames = frames
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://user:secret@127.0.0.1:{self._socket.getsockname()[1]}/door"
        self.transport = ""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        lines = client.makefile("rb")
        while words := lines.readline().decode().split():
            headers = {}
            while line := lines.readline().strip():
                name, value = line.decode().split(":", 1)
                headers[name.lower()] = value.strip()
            more, body = "Session: 1\r\n", ""
            if words[0] == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif words[0] == "DESCRIBE":
                body = self._SDP
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif words[0] == "SETUP":
                self.transport = headers["transport"]
                more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            head = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{more}\r\n"
            client.sendall((head + body).encode())
            if words[0] == "PLAY":
                self._play(client)
                break
        client.close()

    def _play(self, client: socket.socket) -> None:
        packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        packets.bind(("127.0.0.1", 0))
        packets.settimeout(0.03)
        address = f"rtp://127.0.0.1:{packets.getsockname()[1]}"
        options = {"tune": "zerolatency", "g": "5", "x264-params": "repeat-headers=1"}
        with packets, av.open(address, "w", format="rtp") as out:
            stream = out.add_stream("libx264", rate=10, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(self._frames):
                picture = av.VideoFrame.from_ndarray(person(64, 48, number), format="bgr24")
                out.mux(stream.encode(picture))
                while True:
                    try:
                        data = packets.recv(2000)
                    except OSError:  # nothing more for now
                        break
                    client.sendall(b"$\0" + len(data).to_bytes(2, "big") + data)


@dataclass
class MadeUp:
    """An open source with pictures of its own."""

    pictures: Sequence[Picture | Exception]
    recorded: bool = False
    rate: float = 10.0
    pause: float = 0.0
    closed: bool = False

    def __iter__(self) -> Iterator[Picture]:
        for one in self.pictures:
            if isinstance(one, Exception):
                raise one
            yield one
            time.sleep(self.pause)

    def close(self) -> None:
        self.closed = True


class MadeUpSource(Source):
    """A camera whose every opening gives the next of some plays, or the error that stands there."""

    def __init__(self, *plays: MadeUp | InputError, kind: str = "network") -> None:
        super().__init__(kind, "made-up", "made up")  # type: ignore[arg-type]
        object.__setattr__(self, "plays", iter(plays))

    def open(self, max_pixels: int) -> MadeUp:
        play = next(self.plays)  # type: ignore[attr-defined]
        if isinstance(play, Exception):
            raise play
        return play
