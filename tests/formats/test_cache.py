"""Key point caches: lines of keyact's results that are found again by a photo's pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keyact.errors import InputError
from keyact.formats.cache import KeypointCache, model_name, open_cache, pixel_hash
from keyact.results import FrameResult, Person


def photo(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def person(box: tuple[float, float, float, float], score: float, layout: str = "coco17") -> Person:
    count = {"coco17": 17, "halpe26": 26}[layout]
    points = np.column_stack([np.full(count, box[0]), np.full(count, box[1]), np.ones(count)])
    return Person(box=box, box_score=score, score=1, layout=layout, keypoints=points)


def line(image: np.ndarray, *people: Person, model: str | None = None) -> str:
    return FrameResult(
        source="a.jpg",
        width=image.shape[1],
        height=image.shape[0],
        image_only=not people,
        people=people,
        timings_ms={},
        model=model or model_name("alphapose", pixel_hash(image)),
    ).to_json()


def save(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{text}\n" for text in lines), "utf-8")
    return path


def test_the_hash_is_of_shape_and_pixels() -> None:
    image = photo(1)
    same = np.asfortranarray(image)
    other = image.copy()
    other[-1, -1, -1] ^= 1
    assert pixel_hash(image) == pixel_hash(same) == pixel_hash(image[:, ::-1][:, ::-1])
    different = [image, other, image.reshape(60, 40, 3), image[::-1], photo(2)]
    assert len({pixel_hash(one) for one in different}) == len(different)
    # Written down, so that caches of today are found by the keyact of tomorrow.
    assert pixel_hash(np.zeros((2, 3, 3), np.uint8)) == "3034a84a7690e6cd97747e2c803230b8"


def test_people_are_found_by_pixels_best_first_and_cut_to_the_photo(tmp_path: Path) -> None:
    weak, strong = person((-20, 5, 10, 15), 0.25), person((30, 10, 1000, 1000), 0.75)
    strong = strong.model_copy(update={"track_id": 3})
    outside = person((500, 500, 600, 600), 0.5)
    path = save(tmp_path / "c.jsonl", line(photo(1), weak, strong, outside), "", line(photo(2)))
    cache = KeypointCache(path)
    assert len(cache) == 2 and cache.layout == "coco17"
    assert cache(photo(1)).track_ids == (3, None, None)
    found = cache(photo(1))
    assert found.boxes.tolist() == [[30, 10, 60, 40], [59, 39, 60, 40], [0, 5, 10, 15]]
    assert found.scores.tolist() == [0.75, 0.5, 0.25]
    assert found.pose_scores.tolist() == [1, 1, 1]
    assert found.keypoints[:, 0, 0].tolist() == [30, 500, -20]
    empty = cache(photo(2))
    assert empty.boxes.shape == (0, 4) and empty.keypoints.shape == (0, 17, 3)
    with pytest.raises(InputError, match=r"c\.jsonl: has no photo of these .* keyact import"):
        cache(photo(3))


def test_of_exact_copies_there_is_one(tmp_path: Path) -> None:
    one = person((0, 0, 20, 20), 0.5)
    people = [one, one, *(one.model_copy(update=u) for u in ({"track_id": 3}, {"score": 1.5}))]
    cache = KeypointCache(save(tmp_path / "c.jsonl", line(photo(1), *people)))
    assert cache(photo(1)).track_ids == (None, 3, None)
    assert cache(photo(1)).pose_scores.tolist() == [1, 1, 1.5]


def test_the_first_of_two_names_of_a_photo_counts(tmp_path: Path) -> None:
    lines = [line(photo(1), person((x, 0, 20, 20), 1)) for x in (3, 4)]
    assert KeypointCache(save(tmp_path / "c.jsonl", *lines))(photo(1)).boxes[0, 0] == 3


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no people"),
        ([line(photo(1))], "no people"),
        (["{}"], "byte 0: not a line"),
        (["[1, 2]"], "not a line"),
        ([line(photo(1)), "broken"], "not a line"),
        (["[" * 10**5], "not a line"),
        ([json.dumps({"model": 3, "people": []})], "not a line"),
        ([json.dumps({"model": "m", "people": 3})], "not a line"),
        (
            [json.dumps({"model": model_name("x", "0" * 32), "people": [{"layout": 3}]})],
            "not a line",
        ),
        ([line(photo(1), person((0, 0, 9, 9), 1), model="keypoint-fusion")], "no pixel hash"),
        (
            [
                line(photo(1), person((0, 0, 9, 9), 1)),
                line(photo(2), person((0, 0, 9, 9), 1, "halpe26")),
            ],
            "different layouts (coco17, halpe26)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_refused(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        KeypointCache(save(tmp_path / "c.jsonl", *lines))
    assert reason in str(caught.value) and "c.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_names_say_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"type precomputed:CACHE\.jsonl"):
        open_cache(None)
    with pytest.raises(InputError, match="no such file; keyact import"):
        open_cache(str(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="cannot be read"):
        open_cache(str(tmp_path))


def test_a_line_that_is_no_result_is_refused_when_its_photo_comes(tmp_path: Path) -> None:
    text = line(photo(1), person((0, 0, 9, 9), 1)).replace('"width":60', '"width":-60')
    cache = KeypointCache(save(tmp_path / "c.jsonl", text))
    with pytest.raises(InputError, match=r"c\.jsonl: bad result JSON at width"):
        cache(photo(1))


def test_a_cache_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = save(tmp_path / "c.jsonl", line(photo(1), person((0, 0, 9, 9), 1)))
    assert open_cache(str(path)) is open_cache(str(path))
    save(path, line(photo(1), person((0, 0, 9, 9), 1)), line(photo(2)))
    assert len(open_cache(str(path))) == 2
