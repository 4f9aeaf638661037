from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="training needs the extra: pip install 'keyact[train]'")
pytest.importorskip("safetensors", reason="training needs the extra: pip install 'keyact[train]'")

from keyact.data import Dataset, Sample
from keyact.data.people import People
from keyact.errors import InputError, KeyactError
from keyact.train.config import load_config
from keyact.train.frozen import FeatureBatches
from keyact.train.photo_run import with_val
from keyact.train.photos import PhotoBatches, PhotoSet, load_photos, run_over, view_inputs

SIZE = 48
LABELS = ("run", "sit")


def person(x: float, y: float, side: float) -> tuple[list[float], np.ndarray]:
    points = np.full((17, 3), 0.8, np.float32)
    points[:, 0], points[:, 1] = x + side / 2, y + side / 2
    return [x, y, x + side, y + side], points


def people(*those: tuple[list[float], np.ndarray]) -> People:
    boxes = np.array([box for box, _ in those], np.float32).reshape(-1, 4)
    points = np.array([points for _, points in those], np.float32).reshape(-1, 17, 3)
    return People(boxes, np.ones(len(those), np.float32), points)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    """Six photos: nobody, one person, five people, one in a labelled box, one not found there,
    and one that cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(6):
        image = rng.integers(0, 256, (120, 400, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        box = {3: (200.0, 10.0, 300.0, 110.0), 4: (0.0, 0.0, 20.0, 20.0)}.get(i)
        samples.append(Sample(folder / f"{i}.png", LABELS[i % 2], box=box))
    two = people(person(5, 5, 60), person(205, 12, 96))
    crowd = people(*(person(70.0 * i, 10, 20.0 + 10 * i) for i in range(5)))
    found = [people(), people(person(50, 10, 90)), crowd, two, two, InputError("5.png: damaged")]
    dataset = Dataset("test", folder, tuple(samples), LABELS)
    pairs = [(s.path, f) for s, f in zip(samples, found, strict=True)]
    return load_photos(dataset, pairs, LABELS)


def test_whose_label_it_is(photos: PhotoSet) -> None:
    assert photos.problems == ("5.png: damaged",)
    assert [len(boxes) for boxes in photos.boxes] == [0, 1, 4, 1, 1]
    widths = photos.boxes[2][:, 2] - photos.boxes[2][:, 0]
    assert widths.tolist() == [60, 50, 40, 30]  # the largest first
    np.testing.assert_allclose(photos.boxes[3][0], [205, 12, 301, 108])  # found in the box
    assert photos.keypoints[3].any()
    np.testing.assert_allclose(photos.boxes[4][0], [0, 0, 20, 20])  # nobody found in the box
    assert not photos.keypoints[4].any()
    assert photos.labels.tolist() == [0, 1, 0, 1, 0]


def test_a_photo_is_seen_as_at_inference(photos: PhotoSet) -> None:
    alone = photos.seen(0, SIZE)
    np.testing.assert_array_equal(alone.context, alone.crop)
    assert not alone.keypoints.any()
    crowd = photos.seen(2, SIZE)
    assert crowd.crop.shape == (4, SIZE, SIZE, 3)
    np.testing.assert_allclose(crowd.keypoints[:, 0, :2], (SIZE - 1) / 2, atol=0.01)
    np.testing.assert_allclose(photos.seen_points(2, SIZE), crowd.keypoints, atol=1e-4)
    assert view_inputs(crowd, ["context"])["context"].shape[0] == 1
    assert view_inputs(crowd, ["context", "crop"])["context"].shape[0] == 4


def batches(photos: PhotoSet, **settings: Any) -> PhotoBatches:
    config = load_config(batch=2, **settings)
    return PhotoBatches(photos, config, ["crop", "keypoints"], SIZE)


def test_batches_are_the_same_again_and_others_in_another_epoch(photos: PhotoSet) -> None:
    one, again = batches(photos), batches(photos)
    assert (one.steps, one.classes) == (2, 2)
    for epoch, step in ((3, 1), (0, 0)):  # in any order
        first, second = one.batch(epoch, step), again.batch(epoch, step)
        for name in ("crop", "keypoints"):
            np.testing.assert_array_equal(first.inputs[name], second.inputs[name])
        np.testing.assert_array_equal(first.targets, second.targets)
    assert (one.batch(0, 0).inputs["crop"] != one.batch(1, 0).inputs["crop"]).any()
    other = batches(photos, seed=1).batch(0, 0)
    assert (one.batch(0, 0).inputs["crop"] != other.inputs["crop"]).any()


def test_an_epoch_has_no_photo_twice(photos: PhotoSet) -> None:
    source = batches(photos)
    for epoch in range(3):
        rows = source._rows(epoch)[: 2 * source.steps]
        assert len(set(rows.tolist())) == 4


def test_targets_weights_and_teacher(photos: PhotoSet) -> None:
    taught = [np.full((len(b) + 1, 2), [0.9, 0.1], np.float32) for b in photos.boxes]
    config = load_config(batch=5, class_weights="balanced")
    batch = PhotoBatches(photos, config, ["crop"], SIZE, taught=taught).batch(0, 0)
    assert set(batch.inputs) == {"crop"}
    np.testing.assert_allclose(batch.targets[:, 2:], [[0.9, 0.1]] * 5)
    # Of five photos three run and two sit; together both count the same.
    assert batch.weights[batch.targets[:, 0] == 1].sum() == pytest.approx(2.5)
    assert batch.weights[batch.targets[:, 1] == 1].sum() == pytest.approx(2.5)


def test_large_photos_are_kept_small(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((1000, 2000, 3), np.uint8))
    for found, expected in ((people(), 96 / 1000), (people(person(100, 100, 800)), 96 / 800)):
        sample = Sample(tmp_path / "a.png", "run")
        dataset = Dataset("test", tmp_path, (sample,), LABELS)
        photos = load_photos(dataset, [(sample.path, found)], LABELS)
        image, scale = photos.view(0, SIZE)
        assert scale == pytest.approx(expected)
        assert image.shape[0] == pytest.approx(1000 * expected, abs=1)
        assert photos.view(0, SIZE)[0] is image
        assert photos.view(0, SIZE)[1] == pytest.approx(scale)


def test_videos_and_empty_sets_are_refused(tmp_path: Path) -> None:
    clip = Sample(tmp_path / "a.mp4", "run")
    with pytest.raises(KeyactError, match="holds videos"):
        load_photos(Dataset("v", tmp_path, (clip,), LABELS, "videos"), [], LABELS)
    lost = [(clip.path, InputError("a.mp4: damaged"))]
    with pytest.raises(KeyactError, match="none of its photos"):
        load_photos(Dataset("v", tmp_path, (clip,), LABELS), lost, LABELS)


@pytest.mark.parametrize("splits", ["train val", "train", None])
def test_there_is_always_something_to_choose_on(tmp_path: Path, splits: str | None) -> None:
    names = splits.split() if splits else [None]
    samples = []
    for i in range(40):
        path = tmp_path / f"{i}.bin"
        path.write_bytes(bytes([i]))
        samples.append(Sample(path, LABELS[i % 2], names[i // 2 % len(names)]))
    if splits == "train val":
        (tmp_path / "copy.bin").write_bytes(bytes([0]))
        samples.append(Sample(tmp_path / "copy.bin", "run", "test"))
    said: list[str] = []
    data = with_val(Dataset("d", tmp_path, tuple(samples), LABELS), 0, said.append)
    train, val = data.subset("train"), data.subset("val")
    assert len(train) + len(val) == 40
    assert not {s.path for s in train.samples} & {s.path for s in val.samples}
    assert set(val.targets().tolist()) == {0, 1}
    assert len(data) == len(samples)  # what is tested on is kept for the file of splits
    assert len(said) == 1
    assert ("on two sides (1): copies of" if splits == "train val" else "no split val") in said[0]


@pytest.mark.parametrize("splits", ["train", "train val"])
def test_what_was_taken_out_of_the_splits_stays_out(tmp_path: Path, splits: str) -> None:
    """As by ``keyact data split --method official --drop-leaks``."""
    names = [*splits.split(), "test", None]
    samples = []
    for i in range(80):
        (tmp_path / f"{i}.bin").write_bytes(bytes([i]))
        samples.append(Sample(tmp_path / f"{i}.bin", LABELS[i % 2], names[i // 2 % len(names)]))
    said: list[str] = []
    data = with_val(Dataset("d", tmp_path, tuple(samples), LABELS), 0, said.append)
    learnt = {s.path for split in ("train", "val") for s in data.subset(split).samples}
    assert learnt == {s.path for s in samples if s.split in ("train", "val")}
    out = [s for s in samples if s.split is None]
    assert {s.path for s in data.samples if s.split is None} == {s.path for s in out}
    assert len(data) == 80
    assert f"left out: {len(out)} photos in no split, such as {out[0].path}" in said


def test_a_test_part_alone_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    samples = [Sample(tmp_path / f"{i}", LABELS[i % 2], (None, "test")[i // 4]) for i in range(8)]
    with pytest.raises(KeyactError, match=r"of the splits test none is train.*write train into"):
        with_val(Dataset("d", tmp_path, tuple(samples), LABELS), 0, pytest.fail)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "one"}, "share what they must not: group 'one'"),
        ({"label": "run"}, "has one action"),
        ({"split": "val"}, "no sample of sit is left to train on"),
    ],
)
def test_splits_that_teach_nothing_are_refused(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    samples = []
    for i in range(8):
        label, split = LABELS[i % 2], ("train", "val")[i // 4]
        (tmp_path / f"{i}.bin").write_bytes(bytes([i]))
        sample = Sample(tmp_path / f"{i}.bin", label, split)
        samples.append(replace(sample, **change) if label == "sit" else sample)
    labels = tuple(sorted({str(sample.label) for sample in samples}))
    with pytest.raises(KeyactError, match=message):
        with_val(Dataset("d", tmp_path, tuple(samples), labels), 0, pytest.fail)


class Doubling:
    """Stands in for a network: gives twice each row, and notes the sizes that it was given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.sizes.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2}


def test_every_item_gets_its_own_rows_from_batches_of_one_size() -> None:
    items = [{"x": np.arange(n, dtype=np.float32)[:, None] + 10 * n} for n in (1, 5, 2, 9, 1)]
    net = Doubling()
    out = list(run_over(net, items, 4))  # type: ignore[arg-type]
    assert set(net.sizes) == {4}
    for item, rows in zip(items, out, strict=True):
        np.testing.assert_array_equal(rows["y"], item["x"] * 2)


def test_batches_of_kept_features(photos: PhotoSet) -> None:
    rows = [
        {"seen": np.full((2, max(len(boxes), 1), 3), i, np.float16)}
        for i, boxes in enumerate(photos.boxes)
    ]
    config = load_config(batch=5)
    source, again = (FeatureBatches(rows, photos, config) for _ in range(2))
    batch = source.batch(2, 0)
    np.testing.assert_array_equal(batch.inputs["seen"], again.batch(2, 0).inputs["seen"])
    order = batch.inputs["seen"][:, 0].astype(int)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert batch.inputs["seen"].dtype == np.float32
    np.testing.assert_array_equal(batch.targets.argmax(1), photos.labels[order])
