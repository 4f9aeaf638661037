"""What every sequence format keeps to; one row per format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sequence_files as made

from keyact.errors import InputError, UnknownNameError
from keyact.sequences import FORMATS, Sequence, detect_format, load_sequences


@dataclass(frozen=True)
class Case:
    """A file that ``write`` makes, and what its first recording says.

    ``write`` gives the joints (T, V, C) of its first person.
    """

    write: Callable[[Path], np.ndarray]
    file: str
    count: int
    layout: str
    dims: int
    label: str | None = None
    split: str | None = None
    group: str | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    people: int = 1


CASES = {
    "penn-action": Case(
        made.write_penn, "0001.mat", 1, "penn13", 2, "squat", "train", "0001", size=(320, 240)
    ),
    "mat": Case(made.write_utd, "a3_s2_t1_skeleton.mat", 1, "kinect20", 3, "a3", "test", "s2"),
    "pyskl": Case(
        made.write_pickle, "set.pkl", 3, "coco17", 2, "0", "train", size=(320, 240)
    ),
    "ntu": Case(
        made.write_ntu, "S001C002P003R001A004.skeleton", 1, "kinect25", 3, "A004", "test", "P003",
        30.0,
    ),
    "npz": Case(
        made.write_npz, "set.npz", 2, "kinect20", 3, "wave", "train", "s1", 30.0
    ),
    "csv": Case(made.write_csv, "set.csv", 2, "coco17", 2, "wave", "train", "s1"),
    "alphapose": Case(made.write_alphapose, "clip.json", 1, "coco17", 2, people=2),
    "keyact": Case(
        made.write_results, "results.jsonl", 1, "coco17", 2, fps=12.5, size=(320, 240), people=2
    ),
}  # fmt: skip


@pytest.fixture(params=sorted(CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def read(name: str, tmp_path: Path) -> tuple[Path, np.ndarray, list[Sequence]]:
    case = CASES[name]
    path = tmp_path / case.file
    points = case.write(path)
    return path, points, load_sequences(path)


def test_every_format_has_an_example() -> None:
    assert set(CASES) == set(FORMATS)


def test_a_file_says_what_was_written(
    name: str, read: tuple[Path, np.ndarray, list[Sequence]]
) -> None:
    _, points, sequences = read
    case, first = CASES[name], sequences[0]
    assert len(sequences) == case.count
    assert (first.layout, first.dims, first.people) == (case.layout, case.dims, case.people)
    assert (first.label, first.split, first.group) == (case.label, case.split, case.group)
    assert first.size == case.size
    assert first.fps == (None if case.fps is None else pytest.approx(case.fps))
    seen = first.scores[0] > 0
    assert seen.mean() > 0.9
    np.testing.assert_allclose(first.keypoints[0][seen], points[seen], atol=0.1 * case.dims)
    assert first.mask[0].all()


def test_the_format_is_told_by_the_file_and_by_the_folder(
    name: str, read: tuple[Path, np.ndarray, list[Sequence]]
) -> None:
    path, _, sequences = read
    assert detect_format(path).name == name
    assert detect_format(path.parent).name == name
    assert len(load_sequences(path.parent, name)) == len(sequences)


def test_a_manifest_has_the_last_word(
    name: str, read: tuple[Path, np.ndarray, list[Sequence]]
) -> None:
    path, _, _ = read
    (path.parent / "manifest.csv").write_text(
        f"path,label,split,group\n{path.name},dance,val,g7\n", "utf-8"
    )
    told = {(s.label, s.split, s.group) for s in load_sequences(path.parent)}
    assert told == {("dance", "val", "g7")}


def test_folders_name_split_and_action(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    folder = tmp_path / "train" / "jump"
    folder.mkdir(parents=True)
    case.write(folder / ("clip" + Path(case.file).suffix))
    first = load_sequences(tmp_path)[0]
    assert first.split == "train"
    assert first.label == (case.label if name in ("penn-action", "pyskl", "npz", "csv") else "jump")


def test_damaged_files_are_refused_in_one_line_or_reported(
    name: str, read: tuple[Path, np.ndarray, list[Sequence]]
) -> None:
    path, _, _ = read
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        load_sequences(path, name)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:  # a text that breaks off at a line's end is a shorter recording
        assert name in ("csv", "keyact")
    path.write_bytes(b"\x00\xff nothing of the kind" * 3)
    with pytest.raises(InputError):
        load_sequences(path, name)
    good = path.with_name("a7_s1_t2" + path.suffix)
    good.write_bytes(whole)
    told: list[str] = []
    assert load_sequences(path.parent, name, report=told.append)
    assert len(told) == 1 and "\n" not in told[0]


def test_numbers_of_actions_can_be_named(tmp_path: Path) -> None:
    for name, labels, expected in (
        ("pyskl", ("a", "b", "c"), "a"), ("mat", ("a", "b", "c"), "c"),
        ("ntu", ("a", "b", "c", "d"), "d"),
    ):  # fmt: skip
        path = tmp_path / CASES[name].file
        CASES[name].write(path)
        assert load_sequences(path, labels=labels)[0].label == expected
        with pytest.raises(InputError, match="labels were given"):
            load_sequences(path, labels=labels[:1] if name != "pyskl" else labels[:2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "pyskel"}, "did you mean 'pyskl'"),
        ({"layuot": "coco17"}, "did you mean 'layout'"),
    ],
)
def test_wrong_names_suggest_the_right_ones(
    tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    made.write_npz(tmp_path / "set.npz")
    with pytest.raises(UnknownNameError, match=message):
        load_sequences(tmp_path / "set.npz", **arguments)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing.npz"):
        with pytest.raises(InputError):
            load_sequences(path)
