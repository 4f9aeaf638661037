"""Finding people: what a photo gives does not depend on the cache, and is computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from onnx_models import DOT_COLOURS, JOINT_COLOUR, make_detector, make_pose

from keyact import detect, pose
from keyact.data import people as module
from keyact.data.people import People, find_people
from keyact.data.pruning import cached
from keyact.errors import InputError, UnknownNameError
from keyact.formats.cache import model_name
from keyact.results import FrameResult, Person


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("networks")
    make_detector(folder / "detector.onnx")
    make_pose(folder / "pose.onnx")
    return {"detector": str(folder / "detector.onnx"), "pose": str(folder / "pose.onnx")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A person who is a red rectangle with dots, one who stands elsewhere, and nobody."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for i, left in enumerate((20, 60, None)):
        picture = Image.new("RGB", (160, 128), (200, 200, 200))
        if left is not None:
            pen = ImageDraw.Draw(picture)
            pen.rectangle((left, 20, left + 48, 110), fill=(250, 20, 20))
            for joint, colour in enumerate(JOINT_COLOUR[1:7], 1):
                x, y = left + 8 + 16 * (joint % 3), 30 + 12 * joint
                fill = tuple(int(v) for v in DOT_COLOURS[colour])
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=fill)
        paths.append(folder / f"{i}.png")
        picture.save(paths[-1])
    return paths


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The photos that the networks really saw."""
    seen: list[Path] = []
    find = module._Finder.__call__

    def call(self: module._Finder, path: Path) -> object:
        seen.append(path)
        return find(self, path)

    monkeypatch.setattr(module._Finder, "__call__", call)
    return seen


def same(one: People | InputError, two: People | InputError) -> bool:
    assert isinstance(one, People) and isinstance(two, People)
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("boxes", "scores", "keypoints")
    )


def test_people_are_those_of_the_networks(networks, photos, tmp_path) -> None:
    found = dict(find_people(photos, **networks, cache=tmp_path))
    assert list(found) == photos
    assert [len(found[path]) for path in photos] == [1, 1, 0]
    image = np.asarray(Image.open(photos[1]))[..., ::-1]
    boxes, scores = detect.load(networks["detector"])(np.ascontiguousarray(image))
    first = found[photos[1]]
    assert isinstance(first, People)
    np.testing.assert_array_equal(first.boxes, boxes[:1])
    np.testing.assert_array_equal(first.scores, scores[:1])
    expected = pose.load(networks["pose"])(np.ascontiguousarray(image), boxes[:1])
    np.testing.assert_allclose(first.keypoints, expected, atol=1e-3)
    nobody = found[photos[2]]
    assert isinstance(nobody, People)
    assert (nobody.boxes.shape, nobody.keypoints.shape) == ((0, 4), (0, 17, 3))


@pytest.mark.parametrize("jobs", [1, 3])
def test_they_are_found_once(jobs: int, networks, photos, tmp_path, counted) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(photos[0].read_bytes())
    paths = [photos[1], photos[0], copy, photos[2], photos[1]]
    cold = list(find_people(paths, **networks, cache=tmp_path / "c", jobs=jobs, batch=2))
    assert [path for path, _ in cold] == paths
    assert sorted(counted) == sorted(photos)
    counted.clear()
    warm = list(find_people([*paths, copy], **networks, cache=tmp_path / "c", jobs=jobs))
    assert counted == []
    assert all(same(one, two) for (_, one), (_, two) in zip(cold, warm, strict=False))
    assert [(info.kind, info.keys()) for info in cached(tmp_path / "c")] == [("people", 3)]


def test_another_network_or_setting_finds_them_anew(networks, photos, tmp_path, counted) -> None:
    changed = tmp_path / "changed.onnx"
    make_detector(changed, summary="another hash")
    for options in ({}, {"flip_test": True}, {"detector": str(changed)}):
        list(find_people(photos, **{**networks, **options}, cache=tmp_path / "c"))
    assert len(counted) == 9
    assert len(cached(tmp_path / "c")) == 3
    renamed = tmp_path / "renamed.onnx"  # the hash counts, and the name that stands inside
    renamed.write_bytes(changed.read_bytes())
    list(find_people(photos, **{**networks, "detector": str(renamed)}, cache=tmp_path / "c"))
    assert len(counted) == 9


def test_photos_that_cannot_be_read(networks, photos, tmp_path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    paths = [photos[0], tmp_path / "text.jpg", tmp_path / "absent.jpg", tmp_path, photos[1]]
    for _ in range(2):
        found = list(find_people(paths, **networks, cache=tmp_path / "c"))
        errors = [str(item) for _, item in found if isinstance(item, InputError)]
        assert [path.name in error for path, error in zip(paths[1:4], errors, strict=True)] == [
            True
        ] * 3
        assert [isinstance(item, People) for _, item in found] == [True, False, False, False, True]
    with pytest.raises(InputError, match=r"text\.jpg"):
        list(find_people(paths, **networks, cache=False, on_error="raise"))


def test_progress_is_told(networks, photos, tmp_path) -> None:
    told: list[tuple[int, int]] = []
    list(find_people(photos, **networks, cache=False, progress=lambda *at: told.append(at)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_unknown_networks_are_refused_before_the_first_photo(photos) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'persondet-m'"):
        next(find_people(photos, detector="persondet", cache=False))


def test_a_photo_that_is_not_in_a_cache_is_named(networks, photos, tmp_path) -> None:
    (tmp_path / "cache.jsonl").write_text(
        FrameResult(
            source="other.png", width=9, height=9, image_only=False, timings_ms={},
            people=(Person(box=(0, 0, 9, 9), box_score=1, score=1, layout="coco17",
                           keypoints=np.zeros((17, 3))),),
            model=model_name("coco", "0" * 32),
        ).to_json()
    )  # fmt: skip
    asked = f"precomputed:{tmp_path / 'cache.jsonl'}"
    for path, error in find_people(photos, detector=asked, pose=asked, cache=False):
        assert isinstance(error, InputError) and str(error).startswith(f"{path}: ")


def test_boxes_of_the_whole_photo_and_of_a_cache_file(networks, photos, tmp_path) -> None:
    found = list(find_people(photos, detector="whole-image", pose=networks["pose"], cache=tmp_path))
    assert [len(item) for _, item in found if isinstance(item, People)] == [1, 1, 1]
    with pytest.raises(InputError, match="absent"):
        next(find_people(photos, detector=f"precomputed:{tmp_path}/absent", cache=False))
