from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from keyact.errors import InputError
from keyact.media import VideoLimits, iter_frames

LEFT, RIGHT = (40, 40, 200), (200, 60, 40)  # BGR


def write_clip(path: Path, frames: int = 6, width: int = 64, height: int = 32) -> Path:
    """A clip, red on its left half and blue on its right, that brightens frame by frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            pixels = np.empty((height, width, 3), np.uint8)
            pixels[:, : width // 2], pixels[:, width // 2 :] = LEFT, RIGHT
            pixels += np.uint8(5 * number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def set_rotation(path: Path, clockwise: int) -> None:
    """Patch the display matrix of an MP4's track header, as a phone held sideways writes it."""
    matrices = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (value << 16 for value in matrices[clockwise])
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("every", "most", "expected"),
    [
        (1, None, [0, 1, 2, 3, 4, 5]),
        (2, None, [0, 2, 4]),
        (4, None, [0, 4]),
        (1, 2, [0, 1]),
        (3, 9, [0, 3]),
    ],
)
def test_frames_index_and_time(
    clip: Path, every: int, most: int | None, expected: list[int]
) -> None:
    frames = list(iter_frames(clip, every, most))
    assert [index for index, _, _ in frames] == expected
    np.testing.assert_allclose([seconds for _, seconds, _ in frames], np.array(expected) / 10)
    for index, _, frame in frames:
        assert frame.shape == (32, 64, 3)
        assert frame.dtype == np.uint8
        np.testing.assert_allclose(frame[16, 16], np.array(LEFT) + 5 * index, atol=8)
        np.testing.assert_allclose(frame[16, 48], np.array(RIGHT) + 5 * index, atol=8)


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov", ".3gp", ".mts", ".m2ts"])
def test_containers(tmp_path: Path, suffix: str) -> None:
    assert len(list(iter_frames(write_clip(tmp_path / f"clip{suffix}")))) == 6


@pytest.mark.parametrize(
    ("clockwise", "shape", "left_half_goes_to"),
    [(90, (64, 32), (16, 16)), (180, (32, 64), (16, 48)), (270, (64, 32), (48, 16))],
)
def test_rotation_of_the_container_is_undone(
    clip: Path, clockwise: int, shape: tuple[int, int], left_half_goes_to: tuple[int, int]
) -> None:
    set_rotation(clip, clockwise)
    _, _, frame = next(iter_frames(clip))
    assert frame.shape[:2] == shape
    assert frame.flags.c_contiguous
    np.testing.assert_allclose(frame[left_half_goes_to], LEFT, atol=8)


def test_frame_size_cap(clip: Path) -> None:
    assert len(list(iter_frames(clip, limits=VideoLimits(max_pixels=64 * 32)))) == 6
    with pytest.raises(InputError, match="64 x 32 pixels are over the limit"):
        next(iter_frames(clip, limits=VideoLimits(max_pixels=64 * 32 - 1)))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("text.mp4", b"no video here\n" * 99, "cannot be decoded as a video"),
        ("empty.mp4", b"", "cannot be decoded as a video"),
        (
            "list.m3u8",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n",
            "cannot be decoded as a video",
        ),
        ("list.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n", "cannot be decoded"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        list(iter_frames(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["gone.mp4", ".", "nul\0l.mp4", "http://example.org/a.mp4"])
def test_missing_file(path: str) -> None:
    with pytest.raises(
        InputError, match=r"no such video file|not a regular file|cannot be decoded"
    ):
        list(iter_frames(path))


def test_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = np.zeros((1, 800), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="holds no video stream"):
        list(iter_frames(path))


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".ts"])
def test_truncated_clip_gives_its_head(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", frames=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    count = 0
    # Whether FFmpeg notices the cut depends on the container; any other error is a bug.
    with contextlib.suppress(InputError):
        for _ in iter_frames(path):
            count += 1
    assert 0 < count < 40


@pytest.mark.parametrize(("every", "most"), [(0, None), (-1, None), (1, 0)])
def test_bad_arguments_fail_at_the_call(clip: Path, every: int, most: int | None) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        iter_frames(clip, every, most)


def test_real_clip(shared_dir: Path) -> None:
    frames = list(iter_frames(shared_dir / "data/media/video/exercise.avi", every=50))
    assert [index for index, _, _ in frames] == list(range(0, 393, 50))
    assert frames[1][1] == pytest.approx(5.0)
    assert frames[0][2].shape == (288, 384, 3)
