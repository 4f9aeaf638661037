"""What moves the picture moves the key points: a dot at a joint stays at the joint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyact.layouts import get_layout
from keyact.train.augment import PHOTO_ALONE, augmented, mirrored
from keyact.train.config import Augment
from keyact.train.degrade import KINDS, degraded
from keyact.train.mixing import mix
from keyact.train.rand_augment import OPERATIONS, rand_augment

SIZE = 96
PLAIN = {
    "colour": 0, "grey": 0, "erase": 0, "no_person": 0,
    "joint_noise": 0, "joint_drop": 0, "pose_drop": 0,
}  # fmt: skip
JOINT = 9  # left wrist
PAIR = 10


def photo(x: float, y: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark photo with a bright dot where one person's left wrist is."""
    image = np.full((160, 200, 3), 20, np.uint8)
    rows, columns = np.mgrid[:160, :200]
    image[(rows - y) ** 2 + (columns - x) ** 2 <= 16] = 255
    points = np.zeros((1, 17, 3), np.float32)
    points[0, JOINT] = x, y, 0.9
    return image, np.array([[40.0, 20.0, 150.0, 140.0]], np.float32), points


def bright_spot(picture: np.ndarray) -> np.ndarray:
    """x, y of the bright pixels' middle."""
    rows, columns = np.nonzero(picture.min(2) > 140)
    return np.array([columns.mean(), rows.mean()])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    x=st.floats(70, 120),
    y=st.floats(55, 105),
    flip=st.sampled_from([0.0, 1.0]),
)
def test_a_dot_at_a_joint_stays_there(seed: int, x: float, y: float, flip: float) -> None:
    rng = np.random.default_rng(seed)
    sample = augmented(*photo(x, y), SIZE, 1.3, Augment(**PLAIN, flip=flip), rng)
    joint = PAIR if flip else JOINT  # mirrored, a left wrist is a right one
    assert sample.person == 0
    assert sample.keypoints[joint, 2] == pytest.approx(0.9)
    np.testing.assert_allclose(sample.keypoints[joint, :2], bright_spot(sample.crop), atol=1.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_rand_augment_moves_the_points_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = np.full((SIZE, SIZE, 3), 30, np.uint8)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    at = rng.uniform(35, 60, 2)
    picture[(rows - at[1]) ** 2 + (columns - at[0]) ** 2 <= 16] = 255
    points = np.array([[*at, 0.7]], np.float32)
    moves = Augment(rand_ops=2, rand_magnitude=15)
    geometric = [name for name in OPERATIONS if "-x" in name or "-y" in name or name == "rotate"]

    class Only:  # of the operations, those that move
        def choice(self, names: object, count: object = None) -> object:
            return rng.choice(geometric if count is not None else names, count)  # type: ignore[arg-type]

    done, moved = rand_augment(picture, points, moves, Only())  # type: ignore[arg-type]
    np.testing.assert_allclose(moved[0, :2], bright_spot(done), atol=1.0)
    assert moved[0, 2] == pytest.approx(0.7)


@pytest.mark.parametrize("seed", range(4))
def test_rand_augment_keeps_shape_and_type(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    points = rng.uniform(0, SIZE, (17, 3)).astype(np.float32)
    done, moved = rand_augment(picture, points, Augment(rand_ops=8, rand_magnitude=30), rng)
    assert (done.shape, done.dtype) == (picture.shape, np.uint8)
    assert (moved.shape, moved.dtype) == (points.shape, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_is_spoilt_but_still_the_same_photo(kind: str) -> None:
    gradient = np.linspace(40, 200, SIZE)
    picture = np.repeat(np.repeat(gradient[:, None, None], SIZE, 1), 3, 2).astype(np.uint8)
    picture[SIZE // 3 : SIZE // 2] = 255 - picture[SIZE // 3 : SIZE // 2]
    before = picture.copy()
    strengths = []
    for much in (0.0, 1.0):
        spoilt = KINDS[kind](picture, much, 0.3, np.random.default_rng(3))
        assert (spoilt.shape, spoilt.dtype) == (picture.shape, np.uint8)
        assert np.corrcoef(spoilt.mean((1, 2)), picture.mean((1, 2)))[0, 1] > 0.9
        strengths.append(np.abs(spoilt.astype(float) - picture).mean())
    assert 0 < strengths[0] < strengths[1]
    np.testing.assert_array_equal(picture, before)


def test_photo_and_crop_are_spoilt_in_the_same_way() -> None:
    flat = np.full((SIZE, SIZE, 3), 120, np.uint8)
    for seed in range(20):
        one, other = degraded((flat, flat.copy()), np.random.default_rng(seed))
        assert abs(one.std() - other.std()) < 4


def test_the_same_seed_gives_the_same_sample() -> None:
    much = Augment(rand_ops=2, degrade=1)
    samples = [
        augmented(*photo(80, 80), SIZE, 1.3, much, np.random.default_rng(5)) for _ in range(2)
    ]
    for one, other in zip(*samples, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_people_the_photo_is_the_crop() -> None:
    image, boxes, points = photo(80, 80)
    plain = Augment(**PLAIN)
    for people in (0, 1):
        rng = np.random.default_rng(1)
        alone = plain if people == 0 else plain.model_copy(update={"no_person": 1.0})
        sample = augmented(image, boxes[:people], points[:people], SIZE, 1.3, alone, rng)
        assert sample.person == PHOTO_ALONE
        assert not sample.keypoints.any()
        np.testing.assert_array_equal(sample.context, sample.crop)


def test_mirroring_twice_is_nothing_and_swaps_every_pair() -> None:
    points = np.random.default_rng(0).uniform(0, SIZE, (2, 17, 3)).astype(np.float32)
    np.testing.assert_allclose(mirrored(mirrored(points, SIZE), SIZE), points, atol=1e-4)
    for left, right in get_layout("coco17").pairs:
        np.testing.assert_array_equal(mirrored(points, SIZE)[:, left, 2], points[:, right, 2])


def batch(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Four one-coloured pictures, 0 10 20 30, with all joints seen."""
    shade = (10 * np.arange(4, dtype=np.uint8))[:, None, None, None]
    points = np.concatenate([rng.uniform(0, 32, (4, 17, 2)), np.ones((4, 17, 1))], 2).astype(
        np.float32
    )
    pictures = np.broadcast_to(shade, (4, 32, 32, 3)).copy()
    return {"context": pictures, "crop": pictures.copy(), "keypoints": points}, np.eye(
        4, dtype="f4"
    )


@pytest.mark.parametrize("seed", range(5))
def test_mixup_mixes_pictures_and_labels_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, targets = batch(rng)
    mixed, labels = mix(inputs, targets, 1.0, 0.0, rng)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    # The shade of a picture says how much of each is in it.
    expected = labels @ (10.0 * np.arange(4))
    for name in ("context", "crop"):
        np.testing.assert_allclose(mixed[name].mean((1, 2, 3)), expected, atol=0.51)
    share = labels.max(1).min()  # of itself; one that is mixed with itself is faded all the same
    np.testing.assert_allclose(mixed["keypoints"][..., 2], share, atol=1e-6)
    np.testing.assert_array_equal(mixed["keypoints"][..., :2], inputs["keypoints"][..., :2])


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_hides_the_joints_that_it_covers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, targets = batch(rng)
    mixed, labels = mix(inputs, targets, 0.0, 1.0, rng)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    for i in range(4):
        pasted = (mixed["crop"][i] != inputs["crop"][i]).any(2)
        if pasted.any():  # else the other one was the picture itself
            assert pasted.mean() == pytest.approx(1 - labels[i, i], abs=1e-6)
            x, y = np.floor(inputs["keypoints"][i, :, :2]).astype(int).T
            seen = mixed["keypoints"][i, :, 2] > 0
            assert not seen[pasted[y, x] & (np.abs(x - 16) < 15) & (np.abs(y - 16) < 15)].any()
            assert seen[~pasted[y, x]].sum() >= (~pasted[y, x]).sum() - 2  # at the very edge


def test_without_alpha_nothing_is_mixed() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = batch(rng)
    same, labels = mix(inputs, targets, 0.0, 0.0, rng)
    assert same is inputs
    assert labels is targets
