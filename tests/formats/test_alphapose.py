"""AlphaPose's JSON: what is written is read back, and its published quirks are read."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.formats import (
    AlphaPoseFolder,
    AlphaPoseWriter,
    Options,
    PhotoPeople,
    open_alphapose,
    read,
)
from keyact.layouts import get_layout
from keyact.media import MediaItem
from keyact.results import FrameResult, Person

LAYOUTS = ["coco17", "openpose18", "halpe26", "halpe68", "coco133", "halpe136"]
FORMS = ["default", "cmu", "open"]

pixels = st.floats(-5000, 5000)
scores = st.floats(0, 1)


@st.composite
def persons(draw: st.DrawFn, layout: str) -> Person:
    count = len(get_layout(layout))
    few = [(draw(pixels), draw(pixels), draw(st.floats(0.01, 1)))]  # a joint that was found
    few += draw(st.lists(st.tuples(pixels, pixels, scores), max_size=5))
    points = np.array([few[i % len(few)] for i in range(count)])
    points[:, 2] = points[:, 2].round(4)
    x1, y1, x2, y2 = (draw(pixels) for _ in range(4))
    box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    own = points[:, 2].mean() + 1.25 * points[:, 2].max()
    box_score = round(draw(scores), 4)
    return Person(
        box=box,
        box_score=box_score,
        score=float(own) + box_score,
        layout=layout,
        keypoints=points,
        track_id=draw(st.none() | st.integers(0, 2**53)),
    )


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\."),
    min_size=1,
    max_size=9,
)


@st.composite
def photos(draw: st.DrawFn, layout: str, least: int) -> list[PhotoPeople]:
    found = draw(st.lists(names, unique_by=str.casefold, max_size=4))
    return [
        PhotoPeople(name, tuple(draw(st.lists(persons(layout), min_size=least, max_size=3))))
        for name in found
    ]


def back(path: Path) -> list[PhotoPeople]:
    return list(read("alphapose", path))


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_default_form_round_trip(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("w") / "r.json"
    written = data.draw(photos(layout, least=1))
    with AlphaPoseWriter(path) as writer:
        for photo in written:
            writer.write(photo)
    found = back(path)
    for before, after in zip(written, found, strict=True):
        assert after.image == before.image
        for one, two in zip(before.people, after.people, strict=True):
            # The file has no box score: it follows from the pose score, within rounding.
            assert two.box_score == pytest.approx(one.box_score, abs=2e-4)
            assert two.model_copy(update={"box_score": one.box_score}) == one
    # The text is the same when what was read is written again.
    again = path.with_name("again.json")
    with AlphaPoseWriter(again) as writer:
        for photo in found:
            writer.write(photo)
    assert again.read_text() == path.read_text()
    assert isinstance(json.loads(path.read_text()), list)


@pytest.mark.parametrize("separate", [False, True], ids=["one file", "sep-json"])
@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_form_round_trip(
    tmp_path_factory: pytest.TempPathFactory, form: Any, separate: bool, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("w")
    written = data.draw(photos("openpose18", least=1))
    if separate:
        written = [PhotoPeople(f"{number}", photo.people) for number, photo in enumerate(written)]

    def save(target: Path, content: list[PhotoPeople]) -> dict[str, str]:
        if separate:
            with AlphaPoseFolder(target, form) as folder:
                for photo in content:
                    folder.write(photo)
            return {file.stem: file.read_text() for file in sorted(target.glob("*.json"))}
        with AlphaPoseWriter(target.with_suffix(".json"), form) as writer:
            for photo in content:
                writer.write(photo)
        return {"": target.with_suffix(".json").read_text()}

    def rows(content: list[PhotoPeople]) -> list[tuple[str, list[Any]]]:
        return [(p.image, [q.keypoints.tolist() for q in p.people]) for p in content]

    texts = save(folder / "first", written)
    path = folder / ("first" if separate else "first.json")
    found = back(path) if written or not separate else []
    assert rows(found) == (sorted(rows(written)) if separate else rows(written))
    assert save(folder / "second", found) == texts


def test_open_forms_reorder_coco_joints_and_add_a_neck(tmp_path: Path) -> None:
    """The order and the neck that AlphaPose publishes for --format cmu and open."""
    points = np.column_stack([np.arange(17) * 10, np.arange(17) * 3 + 1, np.full(17, 0.5)])
    points[5] = 100, 40, 0.9  # left shoulder
    points[6] = 60, 20, 0.4  # right shoulder
    person = Person(box=(0, 0, 9, 9), box_score=1, score=1, layout="coco17", keypoints=points)
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    expected = [[80, 30, 0.65] if row is None else points[row].tolist() for row in order]
    for form, listed, joints in (
        ("cmu", "bodies", "joints"),
        ("open", "people", "pose_keypoints_2d"),
    ):
        with AlphaPoseWriter(tmp_path / "r.json", form) as writer:  # type: ignore[arg-type]
            writer.write(PhotoPeople("a.jpg", (person,)))
        content = json.loads((tmp_path / "r.json").read_text())
        flat = [value for row in expected for value in row]
        assert content == {"a.jpg": {"version": "AlphaPose v0.3", listed: [{joints: flat}]}}
        (photo,) = back(tmp_path / "r.json")
        assert photo.image == "a.jpg" and photo.people[0].layout == "openpose18"
        np.testing.assert_allclose(photo.people[0].keypoints, expected, rtol=1e-6)


FLAT = [float(value) for i in range(17) for value in (i, i + 1, 0.5)]


def entry(**fields: object) -> dict[str, object]:
    return {"image_id": "a.jpg", "category_id": 1, "keypoints": FLAT, "score": 2.0, **fields}


@pytest.mark.parametrize(
    ("idx", "track"),
    [
        (3, 3), (3.0, 3), ([3.0], 3), ([[3.0]], 3), ([[3.0], [3.0]], 3),
        (0, 0), ([[0.0]], 0), (None, None), ([], None), ([[]], None),
    ],
    ids=str,
)  # fmt: skip
def test_published_track_numbers(tmp_path: Path, idx: object, track: int | None) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([entry(idx=idx)]))
    assert back(path)[0].people[0].track_id == track


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_id": None}, "image_id"),
        ({"image_id": ""}, "image_id"),
        ({"image_id": 1.5}, "image_id"),
        ({"image_id": True}, "image_id"),
        ({"image_id": 10**30}, "image_id"),
        ({"image_id": "x" * 1025}, "longer than 1024"),
        ({"image_id": "a\nb"}, "characters that no file name has"),
        ({"image_id": "\ud800"}, "characters that no file name has"),
        ({"category_id": 3}, "category_id"),
        ({"keypoints": FLAT * 2}, "34 joints are of no known layout; known are 17 (coco17)"),
        ({"score": float("nan")}, "score is not finite"),
        ({"score": -1.0}, "score: -1.0 lies outside"),
        ({"score": "high"}, "score is not a number"),
        ({"score": 10**400}, "score is not finite"),
        ({"box": [0, 0, -1, 5]}, "negative width"),
        ({"box": [0, 0, 5]}, "box has 3 numbers"),
        ({"box": [0, 0, float("inf"), 5]}, "box"),
        ({"box": [0, 0, 10**400, 5]}, "out of range"),
        ({"idx": 1.5}, "not a whole number"),
        ({"idx": "one"}, "not a number"),
        ({"idx": 1e300}, "not a whole number"),
        ({"keypoints": [0.0] * 51, "box": None}, "neither a box nor a joint"),
    ],
    ids=str,
)
def test_bad_fields(tmp_path: Path, fields: dict[str, object], reason: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([entry(), entry(**fields), entry()]))
    problems: list[str] = []
    (photo,) = read("alphapose", path, Options(report=problems.append))
    assert len(photo.people) == 2
    assert len(problems) == 1 and reason in problems[0]
    assert problems[0].startswith(f"{path}: entry 1: ") and "\n" not in problems[0]


def test_scores_above_one_count_as_one(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([entry(keypoints=[1, 2, 1.5] * 16 + [3, 4, -0.1], box=None)]))
    (person,) = back(path)[0].people
    assert person.keypoints[[0, 16], 2].tolist() == [1, 0]
    assert person.box == (1, 2, 1, 2)


def test_poseflow_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    people = [{"keypoints": FLAT, "scores": 1.5, "idx": number} for number in (3, 4)]
    path.write_text(json.dumps({"b.jpg": people, "a.jpg": []}))
    first, second = back(path)
    assert (first.image, second.image, second.people) == ("b.jpg", "a.jpg", ())
    assert [(person.track_id, person.score) for person in first.people] == [(3, 1.5), (4, 1.5)]


def test_photos_are_joined_while_their_entries_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([entry(image_id=name) for name in ("a", "a", 7, "a")]))
    assert [(photo.image, len(photo.people)) for photo in back(path)] == [
        ("a", 2), ("7", 1), ("a", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a.jpg": {"version": "x"}}, "'a.jpg': has neither people nor bodies"),
        ({"a.jpg": {"people": 3}}, "people is not a list"),
        ({"a.jpg": 5}, "not an object with people or bodies, nor a list of people"),
        ({"a.jpg": [{"keypoints": [1]}]}, "'a.jpg', person 0: keypoints has 1 numbers"),
        ({"a.jpg": [5]}, "'a.jpg', person 0: not an object with keypoints"),
        ({"a.jpg": {"people": [{"pose_keypoints_2d": FLAT}]}}, "person 0: 17 joints"),
        ({"version": "x", "bodies": [{}]}, "person 0: joints is not a list"),
    ],
    ids=str,
)
def test_bad_photos_of_the_open_forms(tmp_path: Path, content: object, problem: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        back(path)
    assert problem in str(caught.value)


def test_the_file_is_whole_after_every_photo(tmp_path: Path) -> None:
    person = Person(
        box=(0, 0, 9, 9), box_score=1, score=1, layout="coco17", keypoints=np.ones((17, 3))
    )
    for form, size in (("default", lambda n: 2 * n), ("open", lambda n: n)):
        target = tmp_path / f"{form}.json"
        target.write_text("before")
        writer = AlphaPoseWriter(target, form)  # type: ignore[arg-type]
        (part,) = tmp_path.glob(".part-*")
        for number in range(3):
            assert len(json.loads(part.read_text())) == size(number)
            writer.write(PhotoPeople(f"{number}.jpg", (person, person)))
        assert target.read_text() == "before"
        writer.close()
        writer.close()
        assert len(json.loads(target.read_text())) == size(3)
        assert not list(tmp_path.glob(".part-*"))
        with pytest.raises(ValueError, match="closed"):
            writer.write(PhotoPeople("x", (person,)))


def test_an_exception_keeps_what_was_written(tmp_path: Path) -> None:
    person = Person(
        box=(0, 0, 9, 9), box_score=1, score=1, layout="coco17", keypoints=np.ones((17, 3))
    )
    with pytest.raises(KeyboardInterrupt), AlphaPoseWriter(tmp_path / "r.json") as writer:
        writer.write(PhotoPeople("a", (person,)))
        raise KeyboardInterrupt
    assert len(back(tmp_path / "r.json")) == 1


def frame(source: str, index: int = 0, timestamp: float | None = None) -> FrameResult:
    person = Person(
        box=(0, 0, 9, 9), box_score=1, score=1, layout="coco17", keypoints=np.ones((17, 3))
    )
    return FrameResult(
        source=source, index=index, timestamp=timestamp, width=9, height=9, image_only=False,
        people=(person,), timings_ms={}, model="m",
    )  # fmt: skip


def test_results_are_named_as_alphapose_names_them(tmp_path: Path) -> None:
    with AlphaPoseWriter(tmp_path / "r.json") as writer:
        for result in (
            frame("x/one.jpg"), frame("y/one.jpg"), frame("x/one.jpg"),
            frame("clip.mp4", 0, 0.0), frame("clip.mp4", 5, 0.2), frame("v/clip.avi", 0, 0.0),
            frame("/w/clip.avi", 0, 0.0), frame("<array>"),
        ):  # fmt: skip
            writer.write(result)
    names = [item["image_id"] for item in json.loads((tmp_path / "r.json").read_text())]
    assert names == [
        "one.jpg", "y/one.jpg", "one.jpg", "0.jpg", "5.jpg", "clip/0.jpg", "w/clip/0.jpg",
        "<array>",
    ]  # fmt: skip


def test_known_sources_are_told_apart_from_the_first_on(tmp_path: Path) -> None:
    photos = ["x/one.jpg", "y/one.jpg", "y/two.jpg", "7.jpg"]
    videos = ["x/clip.mp4", "y/clip.mp4", "other.avi"]
    items = [MediaItem(Path(photo), "photo") for photo in photos]
    items += [MediaItem(Path(video), "video") for video in videos]
    with open_alphapose(tmp_path / "r.json", sources=items) as writer:
        for photo in photos:
            writer.write(frame(photo))
        for video in videos:
            writer.write(frame(video, 7, 0.2))
        writer.write(frame("unknown/one.jpg"))
    names = [item["image_id"] for item in json.loads((tmp_path / "r.json").read_text())]
    assert names == [
        "x/one.jpg", "y/one.jpg", "two.jpg", "7.jpg",
        "x/clip/7.jpg", "y/clip/7.jpg", "other/7.jpg", "one.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "files"),
    [
        (["x/clip.mp4"], ["7.json"]),
        (["x/clip.mp4", "one.jpg"], ["7.json", "one.json"]),
        (["x/clip.mp4", "7.jpg"], ["7.json", "clip/7.json"]),
        (["clip.mp4", "clip.avi"], ["clip.avi/7.json", "clip.mp4/7.json"]),
        (["../clip.mp4", "../../clip.mp4"], None),
    ],
    ids=str,
)
def test_a_folder_of_several_videos(
    tmp_path: Path, sources: list[str], files: list[str] | None
) -> None:
    items = [MediaItem(Path(s), "photo" if s.endswith("jpg") else "video") for s in sources]
    with open_alphapose(tmp_path / "sep-json", sources=items) as writer:
        for item in items:
            number = (7, 0.2) if item.kind == "video" else (0, None)
            writer.write(frame(str(item.path), *number))
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json"))
    assert len(written) == len(sources)
    assert files is None or written == [f"sep-json/{name}" for name in files]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    photo = PhotoPeople("a.1.jpg", ())
    with pytest.raises(KeyactError, match="is a folder"):
        AlphaPoseWriter(tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'open'"):
        AlphaPoseWriter(tmp_path / "r.json", "opne")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="AlphaPose form"):
        AlphaPoseFolder(tmp_path / "no", "x")  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()
    folder = AlphaPoseFolder(tmp_path)
    folder.write(photo)
    folder.write(photo)
    with pytest.raises(KeyactError, match=r"a\.json: 'a\.2\.jpg' is the file of 'a\.1\.jpg'"):
        folder.write(PhotoPeople("a.2.jpg", ()))
    with pytest.raises(KeyactError, match="no name before its dot"):
        folder.write(PhotoPeople(".jpg", ()))
    AlphaPoseFolder(tmp_path).write(PhotoPeople("a.2.jpg", ()))  # a later run replaces it
    with AlphaPoseWriter(tmp_path / "o.json", "open") as writer:
        writer.write(photo)
        with pytest.raises(KeyactError, match="written twice"):
            writer.write(photo)
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyactError, match="cannot be written"):
        AlphaPoseWriter(tmp_path / "file" / "r.json")
    with pytest.raises(KeyactError, match="cannot be made"):
        AlphaPoseFolder(tmp_path / "file")


def test_the_target_tells_file_from_folder(tmp_path: Path) -> None:
    with open_alphapose(tmp_path / "r.json", "open") as writer:
        writer.write(frame("x/one.jpg"))
    with open_alphapose(tmp_path / "sep-json", "cmu") as writer:
        writer.write(frame("x/one.jpg"))
        writer.write(frame("clip.mp4", 5, 0.2))
    assert list(json.loads((tmp_path / "r.json").read_text())) == ["one.jpg"]
    assert sorted(f.name for f in (tmp_path / "sep-json").iterdir()) == ["5.json", "one.json"]
    assert "bodies" in json.loads((tmp_path / "sep-json" / "5.json").read_text())


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """8 MB of whole-body people; the parsed file would take several times that."""
    points = [round(i * 1.37 + 100.123456789, 9) for i in range(408)]
    points[2::3] = [0.123456789] * 136
    path = tmp_path / "big.json"
    size = 0
    with path.open("w") as file:
        file.write("[")
        count = 0
        while size < 8_000_000:
            line = json.dumps(entry(image_id=f"{count // 3}.jpg", keypoints=points))
            size += file.write(("," if count else "") + line)
            count += 1
        file.write("]")
    tracemalloc.start()
    try:
        people = sum(len(photo.people) for photo in read("alphapose", path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert people == count > 1000
    assert peak < 4 * 2**20
