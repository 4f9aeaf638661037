from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keyact.errors import KeyactError
from keyact.media import iter_frames, load_image
from keyact.outputs import VideoWriter, save_image, unique_path
from keyact.replacing import same_place

PICTURE = np.full((40, 60, 3), (200, 120, 40), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".bmp", ".tif"])
def test_saved_picture_reads_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new folder" / f"фото{suffix}"
    save_image(path, PICTURE)
    save_image(path, PICTURE)  # a second run replaces the first one's file
    np.testing.assert_allclose(load_image(path), PICTURE, atol=4)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        ("a.gif", PICTURE, "must end in one of .jpg"),
        ("a", PICTURE, "must end in one of .jpg"),
        ("file/a.png", PICTURE, "cannot be written"),
        ("folder.png", PICTURE, "cannot be written"),
        ("a.png", PICTURE[:0], "cannot be encoded"),
        ("a.jpg", np.zeros((1, 70_000, 3), np.uint8), "70000 x 1 pixels are too many for .jpg"),
    ],
)
def test_failed_saving_leaves_nothing(
    tmp_path: Path, name: str, picture: np.ndarray, message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(KeyactError, match=message):
        save_image(tmp_path / name, picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_unique_paths(tmp_path: Path) -> None:
    taken: set[Path] = set()
    sources = ["a/x.jpg", "b/x.png", "c/X.jpg", "y.tar.jpg", tmp_path / "z.jpg"]
    names = [unique_path(tmp_path, source, ".jpg", taken).name for source in sources]
    assert names == ["x.jpg", "x-2.jpg", "X-3.jpg", "y.tar.jpg", "z-2.jpg"]


def test_what_must_not_be_written_over_keeps_its_name(tmp_path: Path) -> None:
    taken = {same_place(tmp_path / "a.jpg")}
    around = tmp_path / "sub" / ".."
    assert unique_path(around, tmp_path / "a.png", ".jpg", taken).name == "a-2.jpg"


@pytest.mark.parametrize("letter", ["a", "ф", "🏸"])
def test_the_longest_name_that_the_disk_takes(tmp_path: Path, letter: str) -> None:
    name = letter * ((255 - 4) // len(letter.encode())) + ".png"
    save_image(tmp_path / name, PICTURE)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("height", "width"), [(40, 60), (41, 61)])
def test_saved_clip_reads_back(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    path = tmp_path / "new" / f"clip{suffix}"
    with VideoWriter(path, rate=12.5) as writer:
        for level in (40, 90, 140, 190):
            writer.write(np.full((height, width, 3), level, np.uint8))
        assert not path.exists()  # the name appears with the finished file
    assert list(path.parent.iterdir()) == [path]
    frames = list(iter_frames(path))
    assert [round(frame.mean(), -1) for _, _, frame in frames] == [40, 90, 140, 190]
    assert frames[0][2].shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(
        [seconds for _, seconds, _ in frames], np.arange(4) / 12.5, atol=2e-3
    )


def test_frames_of_another_size_are_fitted(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, rate=10) as writer:
        writer.write(PICTURE)
        writer.write(np.full((100, 90, 3), 99, np.uint8))
    assert [frame.shape for _, _, frame in iter_frames(path)] == [(40, 60, 3)] * 2


def test_frames_are_shown_at_their_own_times(tmp_path: Path) -> None:
    times = [5.0, 5.1, 5.5, 5.5, 6.0, 7.25]  # two at once: the second is a little later
    with VideoWriter(tmp_path / "live.mp4", 30) as clip:
        for seconds in times:
            clip.write(np.zeros((48, 64, 3), np.uint8), seconds)
    read = [seconds for _, seconds, _ in iter_frames(tmp_path / "live.mp4")]
    assert read == pytest.approx([0, 0.1, 0.5, 0.501, 1.0, 2.25], abs=1e-3)


@pytest.mark.parametrize("frames", [0, 2])
def test_error_inside_the_block_leaves_no_file(tmp_path: Path, frames: int) -> None:
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "clip.mp4", rate=10) as writer:
        for _ in range(frames):
            writer.write(PICTURE)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_clip_without_frames_is_dropped(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "clip.mp4", rate=10)
    writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        writer.write(PICTURE)


@pytest.mark.parametrize(
    ("name", "message"), [("clip.gif", "must end in"), ("file/clip.mp4", "cannot be written")]
)
def test_unusable_clip_names(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyactError, match=message):
        VideoWriter(tmp_path / name, rate=10)
