"""Streams, the recipe of a network's input, and augmentation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sequence_files as made

from keyact.errors import InputError, UnknownNameError
from keyact.sequences import (
    STREAMS,
    Augment,
    Features,
    Preprocess,
    Sequence,
    channels,
    clip_spans,
    known_skeleton,
    skeleton_of,
    stream,
)
from keyact.sequences.augment import drop, flip, warp

COCO = known_skeleton("coco17")
KINECT = known_skeleton("kinect20")
POINTS = made.picture(made.moving("coco17", 20)).astype(np.float32)
SEEN = np.ones(POINTS.shape[:2], np.float32)


def test_streams_are_what_the_table_says() -> None:
    bone = stream("bone", POINTS, SEEN, COCO)
    np.testing.assert_allclose(bone[:, 9], POINTS[:, 9] - POINTS[:, 7], rtol=1e-4)
    hips = POINTS[:, [11, 12]].mean(1)
    np.testing.assert_allclose(bone[:, 11], POINTS[:, 11] - hips, atol=1e-3)
    motion = stream("joint_motion", POINTS, SEEN, COCO)
    np.testing.assert_allclose(motion[:-1], np.diff(POINTS, axis=0), atol=1e-4)
    assert (motion[-1] == 0).all()
    np.testing.assert_allclose(
        stream("fast_motion", POINTS, SEEN, COCO)[:-2], POINTS[2:] - POINTS[:-2], atol=1e-4
    )
    jcd = stream("jcd", POINTS, SEEN, COCO)
    assert jcd.shape == (20, 17, 17) and (jcd == jcd.transpose(0, 2, 1)).all()
    assert jcd[3, 5, 6] == pytest.approx(np.linalg.norm(POINTS[3, 5] - POINTS[3, 6]), rel=1e-5)
    np.testing.assert_array_equal(stream("score", POINTS, SEEN * 0.3, COCO)[..., 0], SEEN * 0.3)


def test_angles_have_a_sign_in_the_picture_and_none_at_the_ends_of_limbs() -> None:
    arm = np.zeros((1, 17, 2), np.float32)
    arm[0, 5], arm[0, 7], arm[0, 9] = (0, 0), (1, 0), (1, 1)
    angle = stream("angle", arm, np.ones((1, 17)), COCO)
    np.testing.assert_allclose(abs(angle[0, 7]), [1, 0], atol=5e-3)
    arm[0, 9] = (1, -1)
    np.testing.assert_allclose(
        stream("angle", arm, np.ones((1, 17)), COCO)[0, 7], -angle[0, 7], atol=1e-6
    )
    whole = stream("angle", POINTS, SEEN, COCO)
    inner = [j for j, (first, _, last) in enumerate(COCO.angles) if first != last]
    np.testing.assert_allclose((whole[:, inner] ** 2).sum(-1), 1, atol=2e-2)
    assert (whole[:, 9] == 0).all()


def test_noise_gives_no_angle_to_bones_without_length() -> None:
    # A joint that was not seen may lie on its neighbour. Training moves joints a little and use
    # does not: were the angle 1 in one and 0 in the other, networks would learn what is not there.
    still = np.zeros((200, 17, 2), np.float32)
    still[:, 5] = (0, 0.4)  # shoulder; elbow and wrist lie in the origin
    moved = still + np.random.default_rng(0).normal(0, 0.01, still.shape).astype(np.float32)
    seen = np.ones(still.shape[:2])
    assert (stream("angle", still, seen, COCO)[:, 7] == 0).all()
    assert np.linalg.norm(stream("angle", moved, seen, COCO)[:, 7], axis=-1).mean() < 0.4


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_a_body_moved_elsewhere(name: str) -> None:
    """All but the position itself say nothing of where the body is."""
    points = made.moving("kinect20").astype(np.float32)
    one = stream(name, points, np.ones(points.shape[:2]), KINECT)
    other = stream(name, points + 2, np.ones(points.shape[:2]), KINECT)
    assert one.dtype == np.float32 and np.isfinite(one).all()
    assert np.allclose(one, other, atol=1e-4) == (name != "joint")


def test_channels_say_whose_they_are() -> None:
    found = channels(STREAMS, 17, 2)
    whole = np.concatenate([stream(n, POINTS, SEEN, COCO) for n in STREAMS], -1)
    for name, part in found.items():
        np.testing.assert_array_equal(whole[..., part], stream(name, POINTS, SEEN, COCO))
    assert whole.shape[-1] == Features(COCO, streams=STREAMS).shape[-1]
    with pytest.raises(UnknownNameError, match="did you mean 'joint_motion'"):
        channels(["joint_motio"], 17, 2)


def test_features_are_one_array_for_each_span() -> None:
    clip = made.sequence("coco17", 50, fps=25.0)
    features = Features(COCO, frames=16, streams=("joint", "jcd", "score"), fps=8.0)
    whole = features(clip, clip_spans(len(clip), 3, 0.5))
    assert whole.shape == (3, 16, 17, 20) == (3, *features.shape)
    assert whole.dtype == np.float32 and features.seconds == 2
    # A span is what the same part of the clip alone would be.
    np.testing.assert_allclose(
        features(clip.cut(10, 30))[0], features(clip, [(10, 29)])[0], atol=1e-5
    )


def test_features_do_not_depend_on_place_or_size() -> None:
    clip = made.sequence("coco17", 30)
    moved = Sequence.of(clip.keypoints * 3 + 100, clip.scores, "coco17")
    features = Features(COCO)
    np.testing.assert_allclose(features(clip), features(moved), atol=1e-3)


def test_another_layout_is_converted_and_other_dimensions_are_refused() -> None:
    features = Features(known_skeleton("penn13"), frames=8)
    assert features(made.sequence("coco17")).shape == (1, 8, 13, 9)
    with pytest.raises(InputError, match="takes 2D"):
        features(made.sequence("kinect20", dims=3))
    with pytest.raises(InputError, match="generic-17"):
        features(Sequence.of(POINTS))


def test_an_unknown_sensor_goes_the_same_way() -> None:
    clip = Sequence.of(np.random.default_rng(0).normal(size=(30, 11, 3)))
    features = Features(skeleton_of([clip]), dims=3, streams=STREAMS)
    assert np.isfinite(features(clip)).all()
    assert Features.from_dict(json.loads(json.dumps(features.to_dict()))) == features


def test_two_people_keep_their_places_to_each_other() -> None:
    one = made.moving("kinect20").astype(np.float32)
    pair = Sequence.of(np.stack([one, one + np.float32([1, 0, 0])]), None, "kinect20")
    skeleton = KINECT
    features = Features(
        skeleton, dims=3, people=2, frames=12, streams=("joint",), preprocess=Preprocess(view=True)
    )
    placed = features(pair)[0].reshape(12, 2, 20, 3)
    alone = Features(
        skeleton, dims=3, frames=12, streams=("joint",), preprocess=Preprocess(view=True)
    )
    np.testing.assert_allclose(placed[:, 0], alone(pair)[0], atol=1e-3)
    apart = np.linalg.norm(placed[:, 1] - placed[:, 0], axis=-1)
    size = np.linalg.norm(placed[:, 0, 2] - placed[:, 0, 0], axis=-1).mean()
    true = np.linalg.norm(one[:, 2] - one[:, 0], axis=-1).mean()
    np.testing.assert_allclose(apart, size / true, rtol=1e-2)
    assert features(pair.best(1))[0].shape == (12, 40, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 0},
        {"streams": []},
        {"skeleton": {}},
        {"preprocess": None},
        {"dims": 5},
        {"fps": 0},
    ],
)
def test_features_of_a_strange_file_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Features.from_dict(Features(COCO).to_dict() | change)


def batch() -> tuple[np.ndarray, np.ndarray]:
    features = Features(COCO, frames=20)
    points, scores = features.clean(made.sequence("coco17", 40))
    points, scores = features.cut(points, scores, (0, 39))
    return np.stack([features.place(points)] * 8), np.stack([scores] * 8)


def test_a_mirror_image_has_left_and_right_swapped() -> None:
    points, scores = batch()
    turned, _ = flip(points, scores, COCO)
    np.testing.assert_array_equal(turned[..., 5, 0], -points[..., 6, 0])
    np.testing.assert_array_equal(flip(turned, scores, COCO)[0], points)
    with pytest.raises(InputError, match="left and right"):
        flip(
            points[..., :11, :], scores[..., :11], skeleton_of(Sequence.of(np.eye(11)[None, :, :3]))
        )


def test_no_augmentation_changes_nothing_and_a_seed_repeats() -> None:
    points, scores = batch()
    still = Augment(**dict.fromkeys(Augment().to_dict(), 0.0) | {"crop": 1.0})
    same, sure = still(points, scores, COCO, np.random.default_rng(0))
    np.testing.assert_allclose(same, points, atol=1e-6)
    np.testing.assert_array_equal(sure, scores)
    first = Augment()(points, scores, COCO, np.random.default_rng(1))[0]
    np.testing.assert_array_equal(
        first, Augment()(points, scores, COCO, np.random.default_rng(1))[0]
    )
    assert abs(first - points).mean() > 0.05
    assert len({clip.tobytes() for clip in first}) == 8  # each clip in its own way


def test_rotation_keeps_lengths_in_2d_and_3d() -> None:
    points, scores = batch()
    still = dict.fromkeys(Augment().to_dict(), 0.0) | {"crop": 1.0, "rotate": 90.0, "tilt": 20.0}
    for clips, skeleton in (
        (points, COCO), (np.concatenate([points, points[..., :1]], -1), COCO)
    ):  # fmt: skip
        turned, _ = Augment(**still)(clips, scores, skeleton, np.random.default_rng(0))
        np.testing.assert_allclose(
            np.linalg.norm(turned, axis=-1), np.linalg.norm(clips, axis=-1), atol=1e-4
        )
        assert abs(turned - clips).max() > 0.3


def test_lost_joints_and_frames_have_score_0_and_a_likely_place() -> None:
    points, scores = batch()
    rng = np.random.default_rng(0)
    changed, left = drop(points, scores, COCO, rng, joints=0.3, frames=0.3)
    lost = left == 0
    assert 0.3 < lost.mean() < 0.7
    np.testing.assert_allclose(changed[~lost], points[~lost], atol=1e-4)
    assert np.linalg.norm(changed - points, axis=-1).max() < 2.5
    kept, all_left = drop(points, scores, COCO, rng, joints=1.0)
    np.testing.assert_array_equal(kept, points)  # nothing would be left
    np.testing.assert_array_equal(all_left, scores)


def test_warped_clips_begin_and_end_alike() -> None:
    points, scores = batch()
    warped, _ = warp(points, scores, np.random.default_rng(0), 0.5)
    np.testing.assert_allclose(warped[:, :, [0, -1]], points[:, :, [0, -1]], atol=1e-5)
    assert abs(warped - points).max() > 0.05


def test_spans_stay_in_the_clip() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        start, stop = Augment(crop=0.5).span(30, rng)
        assert 0 <= start < stop <= 29 and stop - start >= 14.49
    assert Augment().span(1, rng) == (0, 0)


@pytest.mark.parametrize("bad", [{"crop": 0.0}, {"flip": 2.0}, {"jitter": -1}, {"flip": "x"}])
def test_augmentation_out_of_range_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Augment.from_dict(bad)
    with pytest.raises(UnknownNameError, match="'jitter'"):
        Augment.from_dict({"jiter": 0.1})
