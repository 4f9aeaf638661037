"""Streams over real connections; a camera's driver is stood in for by FFmpeg's test picture."""

from __future__ import annotations

import http.server
import threading
import time
from pathlib import Path

import av
import pytest
from live_case import MjpegServer, RtspServer, write_clip

from keyact.errors import InputError
from keyact.media import stream as module
from keyact.media.stream import Stream, camera_name, public_address
from keyact.media.video import VideoLimits


def watch(stream: Stream) -> tuple[list[tuple[int, ...]], list[float], str]:
    shapes, times, message = [], [], ""
    try:
        for seconds, pixels in stream:
            shapes.append(pixels.shape)
            times.append(seconds)
    except InputError as error:
        message = str(error)
    finally:
        stream.close()
    return shapes, times, message


def test_a_network_camera_that_changes_its_size_and_breaks_off() -> None:
    with MjpegServer([[(64, 48)] * 8 + [(128, 96)] * 8]) as camera:
        stream = Stream(camera.address)
        assert not stream.recorded
        shapes, times, message = watch(stream)
    assert {(48, 64, 3), (96, 128, 3)} == set(shapes) and len(shapes) >= 14
    assert times == sorted(times) and times[0] == 0
    assert "secret" not in stream.name + message and camera.paths == ["/door?key=secret"]


def test_rtsp_goes_over_tcp() -> None:
    server = RtspServer(frames=80)
    shapes, _, message = watch(Stream(server.address, timeout=5))
    assert "TCP" in server.transport
    assert len(shapes) >= 5 and set(shapes) == {(48, 64, 3)}
    assert "ended" in message and "secret" not in message


def test_frames_over_the_limit_are_not_decoded() -> None:
    limits = VideoLimits(max_pixels=64 * 48)
    with MjpegServer([[(64, 48)] * 10 + [(128, 96)] * 4, [(128, 96)] * 20]) as camera:
        shapes, _, message = watch(Stream(camera.address, limits=limits))
        assert set(shapes) == {(48, 64, 3)} and message
        with pytest.raises(InputError, match="128 x 96 pixels are over the limit"):
            Stream(camera.address, limits=limits)


def test_a_server_that_says_nothing_is_given_up() -> None:
    with MjpegServer([[(64, 48)] * 3], pause=30) as camera:
        start = time.monotonic()
        with pytest.raises(InputError, match="door: cannot be opened"):
            Stream(camera.address, timeout=0.5)
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("address", ["http://user:secret@127.0.0.1:1/x", "rtsp://127.0.0.1:1/x"])
def test_nobody_there(address: str) -> None:
    with pytest.raises(InputError, match=r"//127.0.0.1:1/x: cannot be opened \(Connection ref"):
        Stream(address)


def test_a_stream_cannot_open_files_of_this_machine(tmp_path: Path) -> None:
    """A playlist from the network that names a file here."""
    write_clip(tmp_path / "private.ts", codec="mpeg2video", rate=25)
    with av.open(str(tmp_path / "private.ts")) as private:
        assert next(private.decode(video=0)).width == 128
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/private.ts\n"

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.end_headers()
            self.wfile.write(text.encode())

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError):
            Stream(f"http://127.0.0.1:{server.server_port}/list.m3u8", timeout=2)
        server.shutdown()


def test_a_camera_through_another_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    if "lavfi" not in av.formats_available:
        pytest.skip("this build of FFmpeg has no lavfi device")
    monkeypatch.setattr(module, "_device", lambda camera: (camera, "lavfi"))
    monkeypatch.setattr(module, "_options", lambda camera, address: {})
    stream = Stream("testsrc=size=64x48:rate=15:duration=1", camera=True)
    assert (stream.rate, stream.recorded) == (15, False)
    shapes, times, message = watch(stream)
    assert shapes == [(48, 64, 3)] * 15 and times[-1] == pytest.approx(14 / 15, abs=0.01)
    assert "ended" in message


@pytest.mark.parametrize(
    ("system", "camera", "expected"),
    [
        ("Linux", "0", ("/dev/video0", "v4l2")),
        ("Linux", "/dev/video2", ("/dev/video2", "v4l2")),
        ("Darwin", "1", ("1:none", "avfoundation")),
        ("Windows", "Logi C270", ("video=Logi C270", "dshow")),
    ],
)
def test_how_each_system_calls_its_cameras(
    monkeypatch: pytest.MonkeyPatch, system: str, camera: str, expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(module.platform, "system", lambda: system)
    assert module._device(camera) == expected


def test_windows_counts_its_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        name = "Front"

    monkeypatch.setattr(module.platform, "system", lambda: "Windows")
    monkeypatch.setattr(av, "enumerate_input_devices", lambda form: [Device], raising=False)
    assert module._device("0") == ("video=Front", "dshow")
    with pytest.raises(InputError, match="camera 3: there is none; found: Front"):
        module._device("3")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://u:p@cam.local:554/1?token=x#y", "rtsp://cam.local:554/1"),
        ("http://cam/", "http://cam/"),
        ("http://u@[::1]:80/a", "http://[::1]:80/a"),
    ],
)
def test_names_hold_no_secret(address: str, shown: str) -> None:
    assert public_address(address) == shown


def test_names_of_cameras() -> None:
    assert (camera_name("0"), camera_name("/dev/video1")) == ("camera 0", "/dev/video1")
