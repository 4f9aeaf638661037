from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from live_case import write_clip
from PIL import Image

from keyact.errors import InputError
from keyact.live.source import parse_source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mp4"), 5)
    write_clip(Path("raw.mp4"), 3).rename("nameless")
    Path("photos").mkdir()
    for name, shade in (("a.png", 10), ("c.png", 30)):
        Image.fromarray(np.full((8, 9, 3), shade, np.uint8)).save(Path("photos", name))
    Path("photos", "b.png").write_bytes(b"\x89PNG damaged")
    Path("clips").mkdir()
    write_clip(Path("clips/one.mp4"), 2)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("0", "camera", "camera 0"),
        ("/dev/video3", "camera", "/dev/video3"),
        ("clip.mp4", "file", "clip.mp4"),
        ("nameless", "file", "nameless"),
        ("photos", "photos", "photos"),
        ("photos/a.png", "photos", "photos/a.png"),
        ("rtsp://me:secret@cam/1", "network", "rtsp://cam/1"),
        ("HTTPS://cam/live.m3u8?key=secret", "network", "https://cam/live.m3u8"),
    ],
)
def test_what_a_source_stands_for(folder: Path, text: str, kind: str, name: str) -> None:
    source = parse_source(text, allow_network=True)
    assert (source.kind, source.name, source.address) == (kind, name, text)
    assert source.comes_back == (kind in ("camera", "network"))
    assert "secret" not in repr(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtsp://me:secret@cam/1", "rtsp://cam/1: is on the network; add --allow-network"),
        ("ftp://cam/1", "starts with one of rtsp, rtsps, http, https"),
        ("file:///etc/passwd", "starts with one of"),
        ("missing.mp4", "no such file or folder"),
        ("clips", "holds no photos"),
    ],
)
def test_what_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse_source(text)
    assert "secret" not in str(refused.value)


def test_a_file_gives_its_frames_and_times(folder: Path) -> None:
    frames = parse_source("clip.mp4").open(10**6)
    assert frames.recorded and frames.rate == 10
    assert [round(p.seconds, 3) for p in frames] == [0, 0.1, 0.2, 0.3, 0.4]
    frames.close()
    with pytest.raises(InputError, match="over the limit"):
        next(iter(parse_source("clip.mp4").open(128 * 96 - 1)))


def test_a_folder_gives_its_photos_and_says_which_cannot_be_read(folder: Path) -> None:
    first, damaged, last = parse_source("photos").open(10**6)
    assert (first.seconds, first.pixels[0, 0, 0], Path(first.name).name) == (0, 10, "a.png")
    assert isinstance(damaged.pixels, InputError) and "b.png" in str(damaged.pixels)
    assert (last.seconds, last.pixels[0, 0, 0], Path(last.name).name) == (2, 30, "c.png")
