from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from keyact.errors import InputError
from keyact.media import iter_frames
from keyact.media.probe import VideoInfo, probe_video
from keyact.outputs import VideoWriter


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # Matroska's header gives no frame count
@pytest.mark.parametrize(("frames", "rate"), [(12, 10), (30, 25)])
def test_the_header_tells_length_and_rate(
    tmp_path: Path, suffix: str, frames: int, rate: int
) -> None:
    path = tmp_path / f"clip{suffix}"
    with VideoWriter(path, rate) as clip:
        for _ in range(frames):
            clip.write(np.zeros((32, 32, 3), np.uint8))
    info = probe_video(path)
    assert info.rate == pytest.approx(rate)
    assert info.frames == frames == len(list(iter_frames(path)))


@pytest.mark.parametrize("content", [None, b"", b"not a video"])
def test_what_cannot_be_opened_gives_the_defaults(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    assert probe_video(path) == VideoInfo(None, 25)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    found: list[VideoInfo] = []
    thread = threading.Thread(
        target=lambda: found.append(probe_video(tmp_path / "pipe.mp4")), daemon=True
    )
    thread.start()
    thread.join(10)
    assert found == [VideoInfo()]
    with pytest.raises(InputError, match=r"pipe\.mp4: is not a regular file"):
        list(iter_frames(tmp_path / "pipe.mp4"))
