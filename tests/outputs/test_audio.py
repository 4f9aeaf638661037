"""The sound of a video stays with its annotated copy."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from keyact.outputs import VideoWriter

RATE = 25


def make_video(
    path: Path, seconds: float = 2.0, codec: str | None = "aac", late: float = 0.0
) -> None:
    """A grey clip with a tone of 440 Hz; with ``late``, time stamps do not start at 0."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = None if codec is None else container.add_stream(codec, rate=44100)
        if audio is not None:
            audio.codec_context.layout = "mono"
        for number in range(round(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="bgr24")
            frame.pts = number + round(late * RATE)
            frame.time_base = Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            size = audio.codec_context.frame_size or 1024
            layout = audio.codec_context.format.name
            for start in range(0, round(seconds * 44100), size):
                wave = 0.5 * np.sin(2 * np.pi * 440 * (start + np.arange(size)) / 44100)
                data = wave[None].astype(np.float32)
                if not layout.startswith("flt"):
                    data = (data * 32767).astype(np.int16)
                sound = av.AudioFrame.from_ndarray(data, format=layout, layout="mono")
                sound.sample_rate = 44100
                sound.pts = start + round(late * 44100)
                sound.time_base = Fraction(1, 44100)
                container.mux(audio.encode(sound))
            container.mux(audio.encode(None))


def sound_of(path: Path) -> tuple[str, np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [frame.to_ndarray().astype(np.float64) for frame in container.decode(stream)]
        return stream.codec_context.name, np.concatenate([part[0] for part in parts])


def copy(source: Path, target: Path, frames: int) -> None:
    with VideoWriter(target, RATE, source) as clip:
        for _ in range(frames):
            clip.write(np.full((48, 64, 3), 200, np.uint8))


@pytest.mark.parametrize(
    ("name", "codec", "expected", "late"),
    [
        ("a.mp4", "aac", "aac", 0.0),
        ("a.mp4", "aac", "aac", 1.6),  # time stamps need not start at 0
        ("a.avi", "pcm_s16le", "aac", 0.0),
        ("a.mkv", "ac3", "ac3", 0.0),
        ("a.mkv", "pcm_s16le", "aac", 1.6),
    ],
)
def test_sound_is_kept(tmp_path: Path, name: str, codec: str, expected: str, late: float) -> None:
    source, target = tmp_path / name, tmp_path / "copy.mp4"
    make_video(source, codec=codec, late=late)
    copy(source, target, 2 * RATE)
    kind, wave = sound_of(target)
    assert kind == expected
    assert len(wave) / 44100 == pytest.approx(2, abs=0.15)
    middle = wave[20000:60000] - wave[20000:60000].mean()
    tone = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * 44100 / len(middle)
    assert tone == pytest.approx(440, abs=5)
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2 * RATE


def test_the_copy_of_a_part_has_the_sound_of_that_part(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4")
    copy(tmp_path / "a.mp4", tmp_path / "copy.mp4", RATE // 2)
    assert len(sound_of(tmp_path / "copy.mp4")[1]) / 44100 == pytest.approx(0.5, abs=0.15)


def test_what_has_no_sound_gets_none(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", codec=None)
    (tmp_path / "b.mp4").write_bytes(b"not a video")
    for source in (tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "missing.mp4"):
        copy(source, tmp_path / "copy.mp4", 5)
        with av.open(str(tmp_path / "copy.mp4")) as container:
            assert not container.streams.audio and container.streams.video
    with VideoWriter(tmp_path / "copy.mp4", RATE, tmp_path / "a.mp4") as clip:
        clip.write(np.zeros((48, 64, 3), np.uint8))
        clip.abort()


def test_sound_keeps_up_with_frames_at_times_of_their_own(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4")
    with VideoWriter(tmp_path / "copy.mp4", 5, tmp_path / "a.mp4") as clip:
        for seconds in (3.0, 3.1, 3.2, 4.0, 4.5):  # the first is shown at 0
            clip.write(np.full((48, 64, 3), 200, np.uint8), seconds)
    # To the end of the last frame, which the rate tells.
    assert len(sound_of(tmp_path / "copy.mp4")[1]) / 44100 == pytest.approx(1.7, abs=0.1)
