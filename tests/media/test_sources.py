from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from keyact.errors import InputError
from keyact.media import MediaItem, find_media


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "clip.mp4",
        "notes.txt",
        ".hidden.jpg",
        "._a.png",
        "sub/c.jpeg",
        "sub/deep/d.webp",
        ".cache/e.jpg",
        "odd [1].jpg",
        "empty/readme.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(items: list[MediaItem], root: Path) -> list[str]:
    return [item.path.relative_to(root).as_posix() for item in items]


EVERYTHING = ["a.PNG", "b.jpg", "clip.mp4", "odd [1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["."], EVERYTHING),
        (["b.jpg", "a.PNG"], ["b.jpg", "a.PNG"]),
        (["b.jpg", ".", "b.jpg"], ["b.jpg", *[n for n in EVERYTHING if n != "b.jpg"]]),
        (["*.jpg"], ["b.jpg", "odd [1].jpg"]),
        (["**/*.*"], EVERYTHING),
        (["**"], EVERYTHING),
        (["**/deep"], ["sub/deep/d.webp"]),
        (["su**"], ["sub/c.jpeg", "sub/deep/d.webp"]),
        (["b.jpg", "sub/../b.jpg"], ["b.jpg"]),
        (["s*"], ["sub/c.jpeg", "sub/deep/d.webp"]),
        (["odd [1].jpg"], ["odd [1].jpg"]),
        (["notes.txt"], ["notes.txt"]),
        ([".hidden.jpg"], [".hidden.jpg"]),
    ],
)
def test_paths_expand(tree: Path, paths: list[str], expected: list[str]) -> None:
    assert names(find_media([str(tree / path) for path in paths]), tree) == expected


def test_kind_is_told_by_suffix(tree: Path) -> None:
    kinds = {item.path.name: item.kind for item in find_media([tree, tree / "notes.txt"])}
    assert kinds["clip.mp4"] == "video"
    assert kinds["a.PNG"] == kinds["notes.txt"] == "photo"


@pytest.mark.parametrize(
    ("kind", "suffixes"),
    [
        ("photo", ".jfif .jpe .pgm .pbm .pnm .heic .HEIF .avif"),
        ("video", ".3gp .3g2 .ogv .MTS .m2ts .mp4"),
    ],
)
def test_files_of_these_names_are_found_in_a_folder(
    tmp_path: Path, kind: str, suffixes: str
) -> None:
    for suffix in suffixes.split():
        (tmp_path / f"a{suffix}").touch()
    found = {item.path.suffix: item.kind for item in find_media([tmp_path])}
    assert found == dict.fromkeys(suffixes.split(), kind)


@pytest.fixture
def locked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A subfolder that may not be read; the tests may run as somebody who may read all."""
    scan, place = os.scandir, tree / "sub" / "deep"

    def refuse(path: Any = ".") -> Any:
        if Path(path) == place:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return place


@pytest.mark.parametrize("asked", [".", "s*"])
def test_a_subfolder_that_cannot_be_read_is_reported(
    tree: Path, locked: Path, asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    failed: dict[str, str] = {}
    path = str(tree / asked)
    found = find_media([path], lambda place, error: failed.update({place: str(error)}))
    assert "sub/c.jpeg" in names(found, tree)
    assert failed == {str(locked): f"{locked}: cannot be read: Permission denied"}
    assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="keyact"):
        assert find_media([path]) == found
    assert f"{locked}: cannot be read" in caplog.text


def test_a_folder_asked_for_must_be_readable(locked: Path) -> None:
    with pytest.raises(InputError, match=r"deep: cannot be read: Permission denied"):
        find_media([locked], lambda *_: None)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone.jpg", r"gone\.jpg: no such file or folder"),
        ("*.xyz", "no file matches this pattern"),
        ("empty", r"no photo or video found; photos end in .*\.jpg.*, videos in .*\.mp4"),
        ("nul\0l", "no such file"),
    ],
)
def test_nothing_found_names_the_path(tree: Path, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_media([f"{tree}/{path}"])


def test_an_address_is_told_from_a_path() -> None:
    with pytest.raises(InputError, match=r"is a web address; download it .* keyact live"):
        find_media(["https://example.org/a.jpg"])


def test_a_relative_and_an_absolute_path_are_one_file(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert [item.path for item in find_media(["b.jpg", tree / "b.jpg"])] == [Path("b.jpg")]


def test_no_paths() -> None:
    with pytest.raises(InputError, match="no path given"):
        find_media([])


def test_link_loops_end(tree: Path) -> None:
    try:
        (tree / "sub" / "loop").symlink_to(tree, target_is_directory=True)
        (tree / "sub" / "again").symlink_to(tree / "sub" / "deep", target_is_directory=True)
        (tree / "gone.jpg").symlink_to(tree / "nowhere.jpg")
    except OSError:
        pytest.skip("this system does not let the test make links")
    found = find_media([tree])
    assert len([item for item in found if item.path.name == "d.webp"]) == 1
    assert len([item for item in found if item.path.name == "b.jpg"]) == 1
