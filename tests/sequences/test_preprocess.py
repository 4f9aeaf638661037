from __future__ import annotations

import numpy as np
import pytest
import sequence_files as made
from hypothesis import given, settings
from hypothesis import strategies as st

from keyact.errors import InputError, UnknownNameError
from keyact.sequences import Preprocess, known_skeleton
from keyact.sequences.preprocess import (
    align_view,
    centre_of,
    fill_gaps,
    normalise,
    resample,
    windows,
)
from keyact.sequences.smooth import OneEuro, one_euro, savgol

COCO = known_skeleton("coco17")
KINECT = known_skeleton("kinect20")
POINTS = made.picture(made.moving("coco17", 20)).astype(np.float32)
SEEN = np.ones(POINTS.shape[:2], np.float32)


def test_a_gap_is_filled_between_its_ends_and_with_the_walking_body() -> None:
    lost = SEEN.copy()
    lost[8:12, 9] = 0
    broken = POINTS.copy()
    broken[8:12, 9] = 0  # as a detector writes it
    filled = fill_gaps(broken, lost, COCO)
    np.testing.assert_array_equal(filled[:, :9], POINTS[:, :9])
    error = np.linalg.norm(filled[8:12, 9] - POINTS[8:12, 9], axis=-1)
    assert error.max() < 6  # pixels, of a body of 130; at the origin it would be 150


def test_ends_are_held_relative_to_the_body() -> None:
    lost = SEEN.copy()
    lost[10:, 9] = 0
    filled = fill_gaps(np.where(lost[..., None] > 0, POINTS, 0).astype(np.float32), lost, COCO)
    assert np.linalg.norm(filled[-1, 9] - POINTS[-1, 9]) < 8  # it walked 45 pixels


def test_a_joint_never_seen_stands_with_its_limb_and_nobody_at_the_origin() -> None:
    lost = SEEN.copy()
    lost[:, [7, 9]] = 0  # left elbow and wrist
    filled = fill_gaps(np.where(lost[..., None] > 0, POINTS, 0).astype(np.float32), lost, COCO)
    np.testing.assert_allclose(filled[:, 7], POINTS[:, 5], atol=1e-3)
    np.testing.assert_allclose(filled[:, 9], POINTS[:, 5], atol=1e-3)


def test_uncertain_joints_keep_their_place_and_missing_people_are_zeros() -> None:
    np.testing.assert_array_equal(fill_gaps(POINTS, SEEN * 0.1, COCO), POINTS)
    assert (fill_gaps(POINTS, SEEN * 0, COCO) == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 0.95))
def test_whatever_is_lost_the_body_stays_near(seed: int, part: float) -> None:
    rng = np.random.default_rng(seed)
    lost = (rng.random(SEEN.shape) > part).astype(np.float32)
    filled = fill_gaps(POINTS * lost[..., None], lost, COCO)
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(filled[lost > 0], POINTS[lost > 0], atol=1e-3)
    if lost.any():
        low, high = POINTS.min((0, 1)) - 170, POINTS.max((0, 1)) + 170
        assert ((filled >= low) & (filled <= high)).all()


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500),
    st.sampled_from(["frame", "clip"]), st.sampled_from(["torso", "body", "box"]),
)  # fmt: skip
def test_place_and_size_do_not_matter(
    size: float, dx: float, dy: float, centre: str, scale: str
) -> None:
    one = normalise(POINTS, COCO, centre, scale)  # type: ignore[arg-type]
    moved = (POINTS * size + np.array([dx, dy])).astype(np.float32)
    other = normalise(moved, COCO, centre, scale)  # type: ignore[arg-type]
    np.testing.assert_allclose(one, other, atol=2e-2)


def test_centres_and_scales_are_what_they_are_called() -> None:
    frame = normalise(POINTS, COCO, "frame", "torso")
    np.testing.assert_allclose(centre_of(frame, COCO), 0, atol=1e-6)
    torso = np.linalg.norm(frame[:, [5, 6]].mean(1), axis=-1)
    assert np.median(torso) == pytest.approx(1, abs=1e-5)
    clip = normalise(POINTS, COCO, "clip", "body")
    middle = centre_of(clip, COCO)
    np.testing.assert_allclose(middle.mean(0), 0, atol=1e-6)
    assert middle[-1, 0] - middle[0, 0] > 0.5  # the path is kept
    box = normalise(POINTS, COCO, "none", "box")
    assert (box.max((0, 1)) - box.min((0, 1))).max() == pytest.approx(1)


def test_a_trunk_that_points_at_the_camera_does_not_blow_the_body_up() -> None:
    flat = POINTS.copy()
    flat[:, [5, 6], 1] = flat[:, [11, 12], 1]
    flat[:, [5, 6], 0] = flat[:, [11, 12], 0]
    assert abs(normalise(flat, COCO, "frame", "torso")).max() < 5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_the_view_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))  # a rotation, not a mirror
    points = normalise(made.moving("kinect20").astype(np.float32), KINECT)
    turned = (points @ turn).astype(np.float32)
    one, other = align_view(points, KINECT), align_view(turned, KINECT)
    np.testing.assert_allclose(one, other, atol=1e-3)
    up = one[:, 2].mean(0) - one[:, 0].mean(0)
    assert up[1] > 0.9 * np.linalg.norm(up)


def test_resampling_is_linear_and_holds_the_ends() -> None:
    values = np.arange(5, dtype=np.float32)[:, None] * 2
    np.testing.assert_allclose(
        resample(values, [-1, 0, 0.5, 3.25, 9])[:, 0], [0, 0, 1, 6.5, 8]
    )  # fmt: skip


@given(st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_windows_cover_a_clip(length: int, size: int, stride: int) -> None:
    starts = windows(length, size, stride)
    assert starts[0] == 0 and starts == sorted(set(starts))
    assert starts[-1] == max(length - size, 0)
    if stride <= size:
        assert max(np.diff(starts), default=0) <= size


def test_smoothing_removes_noise_and_keeps_the_movement() -> None:
    seconds = np.arange(90) / 30
    true = np.zeros((90, 3, 2), np.float32)
    true[..., 0] = np.sin(2 * np.pi * seconds)[:, None] * 2
    noisy = true + np.random.default_rng(0).normal(0, 0.05, true.shape).astype(np.float32)
    for smooth in (one_euro(noisy, 30), savgol(noisy)):
        still, moving = smooth[20:, :, 1] - true[20:, :, 1], smooth[20:, :, 0] - true[20:, :, 0]
        assert still.std() < 0.75 * 0.05
        assert abs(moving).max() < 0.4  # of a swing of 4


def test_savgol_is_an_even_window_of_short_clips() -> None:
    for frames in (1, 2, 3, 4, 8):
        assert savgol(POINTS[:frames]).shape == POINTS[:frames].shape
    np.testing.assert_array_equal(savgol(POINTS[:2]), POINTS[:2])


def test_one_euro_in_a_stream_is_one_euro_of_a_clip() -> None:
    smooth = OneEuro()
    stream = np.stack([smooth(frame, 1 / 25) for frame in POINTS])
    np.testing.assert_array_equal(stream, one_euro(POINTS, 25))


def test_a_joint_that_is_not_seen_does_not_drag_the_filter() -> None:
    smooth = OneEuro()
    for frame in POINTS[:5]:
        smooth(frame, 1 / 25)
    lost = POINTS[5].copy()
    lost[3] = 0
    seen = np.ones(17, bool)
    seen[3] = False
    passed = smooth(lost, 1 / 25, seen=seen)
    assert (passed[3] == 0).all()
    assert np.linalg.norm(smooth(POINTS[6], 1 / 25)[3] - POINTS[6, 3]) < 10


def test_the_recipe_is_kept_as_json() -> None:
    recipe = Preprocess(smooth="savgol", centre="frame", scale="torso", view=True, min_score=0.2)
    assert Preprocess.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(UnknownNameError, match="savgol"):
        Preprocess(smooth="savgoll")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'scale'"):
        Preprocess.from_dict({"scael": "body"})
    with pytest.raises(InputError):
        Preprocess.from_dict({"view": "yes"})
