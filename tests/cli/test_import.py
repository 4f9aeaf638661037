from __future__ import annotations

import json
import os
import tracemalloc
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyact.cli import import_, problems
from keyact.formats import read
from keyact.formats.cache import KeypointCache
from keyact.media import load_image
from keyact.outputs import VideoWriter
from keyact.results import FrameResult

Invoke = Callable[..., Any]

FLAT = [value for i in range(17) for value in (40.0 + 3 * i, 20.0 + 3 * i, 0.5)]


def entry(image: object = "one.png", **fields: object) -> dict[str, object]:
    return {
        "image_id": image, "category_id": 1, "keypoints": FLAT, "score": 2.0,
        "box": [40, 20, 50, 60], **fields,
    }  # fmt: skip


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/one.png, photos/000042.png, photos/a/same.png, photos/b/same.png"""
    folder = tmp_path / "photos"
    for number, name in enumerate(["one.png", "000042.png", "a/same.png", "b/same.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((96, 128, 3), 50 * number, np.uint8)).save(path)
    return folder


def lines(path: Path) -> list[FrameResult]:
    return [FrameResult.from_json(line) for line in path.read_text("utf-8").splitlines()]


def left_behind(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def test_a_file_becomes_a_cache(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    # The people of one.png stand apart; the cache has a line per photo.
    save(tmp_path / "r.json", [entry(), entry(42), entry(idx=3, box=[0, 0, 9, 9])])
    done = invoke("import", "alphapose", "r.json", "--images", "photos", "--out", "out/c.jsonl")
    assert done.exit_code == 0, done.stderr
    assert "2 photos, 3 people, coco17" in done.stdout
    assert "keyact predict photos --detector precomputed:" in done.stdout
    one, two = lines(tmp_path / "out" / "c.jsonl")
    assert (Path(one.source), one.width, one.height) == (Path("photos/one.png"), 128, 96)
    assert [person.track_id for person in one.people] == [None, 3]
    assert one.people[0].box == (40, 20, 90, 80) and len(two.people) == 1
    found = KeypointCache(tmp_path / "out" / "c.jsonl")(load_image(photos / "one.png"))
    assert found.keypoints.shape == (2, 17, 3)
    assert not left_behind(tmp_path)


def test_a_photo_is_found_whatever_its_name(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    save(tmp_path / "r.json", [entry()])
    assert invoke("import", "alphapose", "r.json", "--images", photos).exit_code == 0
    (photos / "one.png").rename(tmp_path / "renamed.png")
    cache = "precomputed:cache.jsonl"
    done = invoke(
        "predict", "renamed.png", "--model", "tiny-action", "--detector", cache, "--pose", cache,
        "--json", "r.jsonl", "--save-alphapose", "again.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (person,) = lines(tmp_path / "r.jsonl")[0].people
    assert person.box == (40, 20, 90, 80)
    assert person.keypoints[:, 0].tolist() == FLAT[::3]
    # ... and it leaves keyact as it came from AlphaPose.
    (photo,) = read("alphapose", tmp_path / "again.json")
    assert photo.image == "renamed.png"
    assert photo.people[0].keypoints.tolist() == person.keypoints.tolist()
    assert photo.people[0].box == person.box


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        ("none.png", "entry 0: 'none.png': no such photo in photos; people left out: 2"),
        ("none.png", "--images names the folder"),
        ("../photos/one.png", "no such photo"),
        ("../../../../../../../../etc/passwd", "no such photo"),
        ("photos/one.png", "no such photo"),
        ("c/same.png", "no such photo"),
        ("same.png", "entry 0: 'same.png' is the name of several photos"),
        ("same.png", "with --images on that folder, and join the caches: cat a.jsonl b.jsonl"),
        ("42", "no such photo"),  # a name: only COCO's numbers end the names of photos
        ("same", "several photos"),
        (43, "no such photo"),
        ("one.png\u0000", "characters that no file name has"),
    ],
)
def test_names_without_a_photo_are_reported_and_the_rest_is_kept(
    invoke: Invoke, photos: Path, tmp_path: Path, image: object, complaint: str
) -> None:
    save(tmp_path / "r.json", [entry(image), entry("a/same.png"), entry(image)])
    done = invoke("import", "alphapose", "r.json", "--images", "photos")
    assert done.exit_code == 1
    assert complaint in done.stderr and "r.json" in done.stderr
    assert [Path(line.source) for line in lines(tmp_path / "cache.jsonl")] == [
        Path("photos/a/same.png")
    ]


def test_an_absolute_name_is_not_opened(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(outside)
    save(tmp_path / "r.json", [entry(str(outside)), entry()])
    assert invoke("import", "alphapose", "r.json", "--images", "photos").exit_code == 1
    assert len(lines(tmp_path / "cache.jsonl")) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([entry("none.png")], "no such photo"),
        ([entry(keypoints=[1])], "entry 0"),
        ([], "no people to import"),
        (5, "r.json: expected a list, found a number"),
    ],
)
def test_nothing_usable_leaves_the_old_cache(
    invoke: Invoke, photos: Path, tmp_path: Path, content: object, complaint: str
) -> None:
    (tmp_path / "cache.jsonl").write_text("old")
    save(tmp_path / "r.json", content)
    done = invoke("import", "alphapose", "r.json", "--images", "photos")
    assert done.exit_code == 1
    assert complaint in done.stderr and "cache.jsonl is left as it was" in done.stderr
    assert (tmp_path / "cache.jsonl").read_text() == "old"
    assert not left_behind(tmp_path)
    (tmp_path / "cache.jsonl").unlink()
    assert (
        "cache.jsonl is not made"
        in invoke("import", "alphapose", "r.json", "--images", "photos").stderr
    )


def test_damaged_files_and_photos_are_left_out(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    (photos / "bad.png").write_bytes(b"no photo")
    save(tmp_path / "r.json", [entry(), entry("bad.png")])
    (tmp_path / "cut.json").write_text(json.dumps([entry("a/same.png"), entry(42)])[:-9])
    done = invoke("import", "alphapose", "r.json", "cut.json", "gone.json", "--images", "photos")
    assert done.exit_code == 1
    for complaint in ("bad.png", "cut.json: ends in the middle", "gone.json: no such file"):
        assert complaint in done.stderr
    # What stands before the cut is kept.
    assert [Path(line.source).name for line in lines(tmp_path / "cache.jsonl")] == [
        "one.png", "same.png",
    ]  # fmt: skip


def test_photos_of_another_size_are_left_out(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    body = {**entry(1), "bbox": [1, 2, 3, 4], "keypoints": [1, 1, 2] * 17}
    images = [
        {"id": 1, "file_name": "one.png", "width": 128, "height": 96},
        {"id": 2, "file_name": "000042.png", "width": 256, "height": 192},
    ]
    save(tmp_path / "a.json", {"images": images, "annotations": [body, {**body, "image_id": 2}]})
    done = invoke("import", "coco-annotations", "a.json", "--images", "photos")
    assert done.exit_code == 1
    assert "has 128 x 96 pixels, but the key points are of a photo of 256 x 192" in done.stderr
    assert len(lines(tmp_path / "cache.jsonl")) == 1


def test_results_with_numbers_are_named_by_annotations(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    save(tmp_path / "a.json", {"images": [{"id": 9, "file_name": "one.png"}], "annotations": []})
    save(tmp_path / "r.json", [entry(9)])
    options = ("coco", "r.json", "--images", "photos", "--annotations", "a.json")
    assert invoke("import", *options).exit_code == 0
    assert Path(lines(tmp_path / "cache.jsonl")[0].source).name == "one.png"


def test_folders_and_fractions(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    landmarks = [{"x": 0.5, "y": 0.25, "z": 0, "visibility": 1}] * 33
    save(tmp_path / "mp" / "one.json", {"pose_landmarks": [landmarks]})
    save(tmp_path / "mp" / "gone.json", {"pose_landmarks": [landmarks]})
    done = invoke("import", "mediapipe", "mp", "--images", "photos")
    assert done.exit_code == 1 and "gone.json: the photo's size is not known" in done.stderr
    (line,) = lines(tmp_path / "cache.jsonl")
    assert line.people[0].keypoints[0].tolist() == [64, 24, 1]


def test_photos_without_people_can_be_added(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    save(tmp_path / "r.json", [entry()])
    done = invoke("import", "alphapose", "r.json", "--images", "photos", "--add-empty")
    assert done.exit_code == 0 and "4 photos, 1 people" in done.stdout
    empty = [line for line in lines(tmp_path / "cache.jsonl") if line.image_only]
    assert len(empty) == 3
    cache = "precomputed:cache.jsonl"
    done = invoke(
        "predict", "photos", "--model", "tiny-action", "--detector", cache, "--pose", cache
    )
    assert done.exit_code == 0, done.stderr


def test_a_photo_that_is_not_in_the_cache_says_what_to_type(
    invoke: Invoke, photos: Path, photo: Path, tmp_path: Path
) -> None:
    save(tmp_path / "r.json", [entry()])
    invoke("import", "alphapose", "r.json", "--images", "photos")
    cache = "precomputed:cache.jsonl"
    done = invoke("predict", photo, "--model", "tiny-action", "--detector", cache, "--pose", cache)
    assert done.exit_code == 1
    assert "keyact import FORMAT FILE --images DIR --out cache.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["alphapos", "r.json", "--images", "photos"], 2, "did you mean 'alphapose'"),
        (["alphapose", "r.json"], 2, "--images"),
        (["alphapose", "--images", "photos"], 2, "FILE"),
        (["alphapose", "r.json", "--images", "none"], 1, "none: no such folder"),
        (["alphapose", "r.json", "--images", "empty"], 1, "no photo or video found"),
        (["alphapose", "r.json", "--images", "photos", "--layout", "coco"], 2, "did you mean"),
        (["alphapose", "r.json", "--images", "photos", "--layout", "halpe26"], 1, "has 26"),
        (["alphapose", "r.json", "--images", "photos", "--out", "r.json"], 2, "overwrite"),
        (["alphapose", "r.json", "--images", "photos", "--annotations", "r.json"], 2, "for coco"),
        (["alphapose", "r.json", "--images", "photos", "--problems", "r.json"], 2, "overwrite"),
        (["alphapose", "r.json", "--images", "photos", "--problems", "cache.jsonl"], 2, "overwr"),
        (["mmpose", "video.json", "--images", "photos"], 1, "only photos are imported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_options(
    invoke: Invoke, photos: Path, tmp_path: Path, arguments: list[str], status: int, complaint: str
) -> None:
    save(tmp_path / "r.json", [entry()])
    save(tmp_path / "video.json", [{"frame_id": 0, "instances": []}])
    (tmp_path / "empty").mkdir()
    done = invoke("import", *arguments)
    assert done.exit_code == status
    assert complaint in " ".join(done.stderr.split())
    assert not (tmp_path / "cache.jsonl").exists()


def test_the_layout_is_that_of_the_first_good_entry(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    other = entry(keypoints=[1.0, 1.0, 1.0] * 26)
    save(tmp_path / "r.json", [None, entry(), other, entry(42)])
    done = invoke("import", "alphapose", "r.json", "--images", "photos")
    assert done.exit_code == 1 and "2 photos, 2 people, coco17" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if "entry 2: " in line]
    assert "is halpe26, but the first entry's coco17" in line and "--layout halpe26" in line
    done = invoke("import", "alphapose", "r.json", "--images", "photos", "--layout", "halpe26")
    assert done.exit_code == 1 and "1 photos, 1 people, halpe26" in done.stdout
    # The files of a folder are of one layout, too.
    save(tmp_path / "sep" / "000042.json", [other])
    save(tmp_path / "sep" / "one.json", [entry()])
    done = invoke("import", "alphapose", "sep", "--images", "photos")
    assert "sep/one.json: entry 0: " in done.stderr and "1 people, halpe26" in done.stdout


def test_every_problem_is_listed_and_some_of_each_kind_printed(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    missing = [entry(f"none{number}.png") for number in range(30)]
    save(tmp_path / "r.json", [entry(), *missing, *[None] * 25, entry(keypoints=[1])])
    options = ("import", "alphapose", "r.json", "--images", "photos")
    done = invoke(*options)
    told = done.stderr.splitlines()
    assert done.exit_code == 1 and len(told) == 2 * problems.MAX_SHOWN + 2
    assert "... and 6 more problems with entries; --problems FILE writes all" in told[-2]
    assert "... and 10 more problems with photos; --problems FILE writes all" in told[-1]
    assert "entry 31: " in told[0]
    done = invoke(*options, "--problems", "out/p.txt")
    assert "more problems with photos; out/p.txt has all" in done.stderr
    listed = (tmp_path / "out" / "p.txt").read_text("utf-8").splitlines()
    assert len(listed) == 56 and "entry 56: " in listed[25] and "'none29.png'" in listed[-1]
    # The list matters most when nothing is left.
    save(tmp_path / "r.json", [None])
    done = invoke(*options, "--problems", "out/p.txt", "--out", "other.jsonl")
    assert done.exit_code == 1 and not (tmp_path / "other.jsonl").exists()
    assert "entry 0: " in (tmp_path / "out" / "p.txt").read_text("utf-8")
    save(tmp_path / "r.json", [entry()])
    assert invoke(*options, "--problems", "out/p.txt").exit_code == 0
    assert (tmp_path / "out" / "p.txt").read_text("utf-8") == ""


def test_caches_of_folders_that_share_names_are_joined(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    for number, folder in enumerate("ab"):
        save(tmp_path / f"{folder}.json", [entry("same.png", score=2.0 + number)])
        options = ("--images", f"photos/{folder}", "--out", f"{folder}.jsonl")
        assert invoke("import", "alphapose", f"{folder}.json", *options).exit_code == 0
    joined = (tmp_path / "a.jsonl").read_bytes() + (tmp_path / "b.jsonl").read_bytes()
    (tmp_path / "all.jsonl").write_bytes(joined)
    cache = "precomputed:all.jsonl"
    options = ("photos/a", "photos/b", "--detector", cache, "--pose", cache)
    done = invoke("pose", *options, "--json", "r.jsonl")
    assert done.exit_code == 0, done.stderr
    assert [line.people[0].score for line in lines(tmp_path / "r.jsonl")] == [2, 3]


@pytest.mark.parametrize("spelling", ["NFC", "NFD"])
def test_accents_are_one_letter_or_two(
    invoke: Invoke, photos: Path, tmp_path: Path, spelling: Any
) -> None:
    other = "NFD" if spelling == "NFC" else "NFC"
    (photos / "one.png").rename(photos / unicodedata.normalize(spelling, "café.png"))
    for name in ("café.png", "café", "photos/café.png"):
        save(tmp_path / "r.json", [entry(unicodedata.normalize(other, name))])
        done = invoke("import", "alphapose", "r.json", "--images", ".")
        assert done.exit_code == 0, done.stderr


def test_a_number_in_a_file_name_is_no_coco_id(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    body = {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": [9.0, 9.0, 1.0] * 18}]}
    save(tmp_path / "sep-json" / "42.json", body)
    done = invoke("import", "alphapose", "sep-json", "--images", "photos")
    assert done.exit_code == 1 and "'42': no such photo" in done.stderr


def test_two_photos_of_a_stem_are_several(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    landmarks = [{"x": 0.5, "y": 0.25, "z": 0, "visibility": 1}] * 33
    save(tmp_path / "mp" / "same.json", [landmarks, landmarks])
    done = invoke("import", "mediapipe", "mp", "--images", "photos")
    assert "'same' is the name of several photos in photos); people left out: 2" in done.stderr


def test_a_head_in_the_place_of_the_neck_is_said_once(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    points = [[40, 30, 1], [40, 20, 1], [30, 50, 1], *[[40, 60, 1]] * 2, [50, 50, 1]]
    points += [[40, 70, 1]] * 12
    for number, wrong in ((20, True), (50, False)):  # the top of the head; AlphaPose's own mean
        points[1] = [40, number, 1]
        flat = [float(value) for row in points for value in row]
        photo = {"version": "AlphaPose v0.3", "bodies": [{"joints": flat}, {"joints": flat}]}
        save(tmp_path / "r.json", {"one.png": photo, "000042.png": photo})
        done = invoke("import", "alphapose", "r.json", "--images", "photos")
        assert done.exit_code == 0
        assert ("4 of 4 people have a neck beyond the nose" in done.stderr) is wrong


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a full disk to write to")
def test_a_full_disk_for_temporary_files(
    invoke: Invoke, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "r.json", [entry()])
    monkeypatch.setattr(import_.tempfile, "TemporaryFile", partial(open, "/dev/full", "wb"))
    done = invoke("import", "alphapose", "r.json", "--images", "photos")
    assert done.exit_code == 1 and "set TMPDIR to a folder with more room" in done.stderr
    assert not (tmp_path / "cache.jsonl").exists()


def test_more_people_than_a_photo_may_have(
    invoke: Invoke, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "MAX_PEOPLE", 2)
    save(tmp_path / "r.json", [entry()] * 3)
    done = invoke("import", "alphapose", "r.json", "--images", "photos")
    assert done.exit_code == 1 and "3 people; only 2 are kept" in done.stderr
    assert len(lines(tmp_path / "cache.jsonl")[0].people) == 2


def test_memory_does_not_grow_with_the_people_of_a_photo(
    invoke: Invoke, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "MAX_PEOPLE", 10)
    read = {path: load_image(path) for path in sorted(Path("photos").rglob("*.png"))}
    monkeypatch.setattr(import_, "load_image", read.__getitem__)  # its buffer is of a fixed size
    save(tmp_path / "r.json", [entry()])
    invoke("import", "alphapose", "r.json", "--images", "photos")  # what is loaded only once
    save(tmp_path / "r.json", [entry(), entry(42)] * 1500)
    tracemalloc.start()
    try:
        done = invoke("import", "alphapose", "r.json", "--images", "photos")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.exit_code == 1
    assert done.stderr.count("1500 people; only 10 are kept") == 2
    assert [len(line.people) for line in lines(tmp_path / "cache.jsonl")] == [10, 10]
    assert peak < 4 * 2**20


def test_people_come_back_as_they_were_imported(
    invoke: Invoke, photos: Path, tmp_path: Path
) -> None:
    """A crowd, so close that a detector's boxes would be merged, each with a number or none."""
    crowd = [
        entry(
            idx=None if number == 5 else 100 - number,
            box=[number, 20, 50, 60],
            keypoints=[round(value + number / 4, 2) if i % 3 < 2 else value
                       for i, value in enumerate(FLAT)],
            score=round(1.2 + number / 100, 2),
        )
        for number in range(65)
    ]  # fmt: skip
    # Scores by another formula, and twins who differ in their number, score or box alone.
    crowd += [entry(score=0.1), entry(score=0.2), entry(score=9.5)]
    crowd += [entry(score=9.6, idx=200), entry(score=9.7, idx=200), entry(score=9.8, idx=200)]
    crowd += [entry(score=9.9, idx=201, box=[41, 20, 50, 60]), entry(score=9.95, idx=201)]
    crowd = [*crowd[65:67], *crowd[:65], *crowd[67:]]
    save(tmp_path / "there.json", [*crowd, crowd[-1]])  # an exact copy is one person
    done = invoke("import", "alphapose", "there.json", "--images", "photos")
    assert done.exit_code == 0, done.stderr
    cache = "precomputed:cache.jsonl"
    options = ("pose", photos / "one.png", "--detector", cache, "--pose", cache)
    done = invoke(*options, "--save-alphapose", "back.json")
    assert done.exit_code == 0, done.stderr
    back = json.loads((tmp_path / "back.json").read_text())
    wanted = [
        {key: value for key, value in person.items() if value is not None} for person in crowd
    ]
    assert sorted(back, key=lambda person: person["score"]) == wanted
    assert [person["score"] for person in back] == sorted(
        (person["score"] for person in back), reverse=True
    )
    done = invoke(*options, "--save-alphapose", "few.json", "--max-people", 7)
    assert done.exit_code == 0, done.stderr
    assert len(json.loads((tmp_path / "few.json").read_text())) == 7


@pytest.mark.parametrize(
    "places",
    [
        ("a/x.png", "b/x.png", "z.png"),
        ("x.png", "a/x.png"),
        ("p/a/x.png", "p/b/x.png"),
        ("a/x.png", "b/a/x.png", "b/c/x.png"),
    ],
    ids=" ".join,
)
def test_photos_of_one_name_are_found_again(
    invoke: Invoke, photo: Path, tmp_path: Path, places: tuple[str, ...]
) -> None:
    for number, place in enumerate(places):
        path = tmp_path / "same" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.array(Image.open(photo))
        pixels[0, 0] = number
        Image.fromarray(pixels).save(path)
    tiny = ("--pose", "tiny-pose", "--detector", "tiny-detector")
    done = invoke("pose", "same", *tiny, "--save-alphapose", "o.json")
    assert done.exit_code == 0, done.stderr
    done = invoke("import", "alphapose", "o.json", "--images", "same")
    assert done.exit_code == 0, done.stderr
    found = lines(tmp_path / "cache.jsonl")
    assert {Path(line.source) for line in found} == {Path("same") / place for place in places}
    assert [len(line.people) for line in found] == [1] * len(places)


def test_each_of_several_videos_has_its_folder(invoke: Invoke, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "vv").mkdir()
    for name in ("a", "b"):
        with VideoWriter(tmp_path / "vv" / f"{name}.mp4", 10) as clip:
            for _ in range(2):
                clip.write(load_image(photo))
    tiny = ("--pose", "tiny-pose", "--detector", "tiny-detector")
    done = invoke("pose", "vv", *tiny, "--save-alphapose", "out")
    assert done.exit_code == 0, done.stderr
    written = {path.relative_to(tmp_path / "out").as_posix(): json.loads(path.read_text())
               for path in (tmp_path / "out").rglob("*.json")}  # fmt: skip
    assert {name: {item["image_id"] for item in people} for name, people in written.items()} == {
        f"{video}/{number}.json": {f"{video}/{number}.jpg"} for video in "ab" for number in (0, 1)
    }


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_cache_that_cannot_be_written(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    save(tmp_path / "r.json", [entry()])
    (tmp_path / "file").write_text("")
    done = invoke("import", "alphapose", "r.json", "--images", "photos", "--out", "file/c.jsonl")
    assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1


def test_predict_writes_alphapose_for_photos_and_videos(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "one.png").write_bytes(photo.read_bytes())
    tiny = ("--model", "tiny-action", "--pose", "tiny-pose", "--detector", "tiny-detector")
    done = invoke("predict", photo, "again", *tiny, "--save-alphapose", "out/r.json")
    assert done.exit_code == 0, done.stderr
    entries = json.loads((tmp_path / "out" / "r.json").read_text())
    assert [item["image_id"] for item in entries] == ["one.png", "again/one.png"]
    assert entries[0].keys() == {"image_id", "category_id", "keypoints", "score", "box"}
    x, y, width, height = entries[0]["box"]
    assert (x, y, x + width, y + height) == pytest.approx((40, 20, 90, 80), abs=3)
    assert len(entries[0]["keypoints"]) == 51
    assert not left_behind(tmp_path)
