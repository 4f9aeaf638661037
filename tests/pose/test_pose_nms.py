from __future__ import annotations

import time

import numpy as np
import pytest

from keyact.pose.nms import pose_nms
from keyact.pose.score import pose_score

# A person standing in the unit square, COCO-17 order, left and right as in a front view.
STANDING = np.array(
    [
        [0.50, 0.08], [0.53, 0.06], [0.47, 0.06], [0.57, 0.07], [0.43, 0.07],
        [0.65, 0.20], [0.35, 0.20], [0.75, 0.35], [0.25, 0.35], [0.80, 0.50], [0.20, 0.50],
        [0.60, 0.52], [0.40, 0.52], [0.62, 0.74], [0.38, 0.74], [0.63, 0.96], [0.37, 0.96],
    ]
)  # fmt: skip
BOX = np.array([100.0, 50, 180, 250])


def moved(*by: float) -> np.ndarray:
    return BOX + np.array(by)


def person(
    box: np.ndarray = BOX, score: float = 0.8, jitter: float = 0, seed: int = 0
) -> np.ndarray:
    size = box[2:] - box[:2]
    joints = box[:2] + STANDING * size
    joints = joints + np.random.default_rng(seed).normal(0, jitter * size.max(), joints.shape)
    return np.concatenate([joints, np.full((17, 1), score)], 1)


def run(poses: list[np.ndarray], boxes: list[np.ndarray], scores: list[float]):  # type: ignore[no-untyped-def]
    return pose_nms(np.stack(poses), np.array(scores), np.stack(boxes))


@pytest.mark.parametrize("scale", [0.2, 1, 20], ids=["40px", "200px", "4000px"])
def test_two_near_identical_poses_merge(scale: float) -> None:
    box, other = BOX * scale, (moved(3, -2, 5, 4)) * scale
    a, b = person(box), person(box, score=0.7, jitter=0.01, seed=1)
    merged, kept = run([b, a], [other, box], [0.8, 0.9])
    assert kept.tolist() == [1]
    assert merged.shape == (1, 17, 3) and merged.dtype == np.float32
    expected = (a * 0.8 + b * 0.7) / 1.5  # all joints are near: the mean weighted by score
    np.testing.assert_allclose(merged[0], expected, rtol=1e-4)


def test_hidden_joints_of_a_duplicate_may_scatter() -> None:
    a, b = person(), person(jitter=0.01, seed=2)
    b[13:, :2] += 60
    b[13:, 2] = a[13:, 2] = 0.15
    merged, kept = run([a, b], [BOX, BOX], [0.9, 0.8])
    assert kept.tolist() == [0]
    np.testing.assert_allclose(merged[0, 13:], a[13:], rtol=1e-6)  # far joints are not mixed in


OVERLAPPING = [
    pytest.param(person(moved(20, 0, 20, 0)), moved(20, 0, 20, 0), id="side-by-side"),
    pytest.param(person(moved(8, 20, 8, 20)), moved(8, 20, 8, 20), id="in-front"),
    pytest.param(
        person(np.array([120.0, 130, 168, 250])), np.array([120.0, 130, 168, 250]), id="child"
    ),
]


@pytest.mark.parametrize(("pose", "box"), OVERLAPPING)
def test_two_people_who_overlap_both_stay(pose: np.ndarray, box: np.ndarray) -> None:
    merged, kept = run([person(), pose], [BOX, box], [0.9, 0.8])
    assert kept.tolist() == [0, 1]
    np.testing.assert_allclose(merged, np.stack([person(), pose]), rtol=1e-6)


def test_cheek_to_cheek_stays_two_people() -> None:
    """Faces coincide, bodies do not."""
    a, b = person(), person()
    b[5:, 0] += 40
    assert run([a, b], [BOX, moved(0, 0, 40, 0)], [0.9, 0.8]).kept.tolist() == [0, 1]


def test_two_poses_with_few_common_joints_stay() -> None:
    a, b = person(), person()
    a[4:, 2] = 0
    b[4:, 2] = 0
    assert len(run([a, b], [BOX, BOX], [0.9, 0.8]).kept) == 2


def test_missing_joints_do_not_count_as_agreement() -> None:
    """Joints missing in both lie at (0, 0) in both: that is no match."""
    a, b = person(), person(moved(20, 0, 20, 0))
    for pose in (a, b):
        pose[:5] = pose[11:] = 0
    assert len(run([a, b], [BOX, moved(20, 0, 20, 0)], [0.9, 0.8]).kept) == 2


def test_order_does_not_matter() -> None:
    poses = [
        person(),
        person(jitter=0.01, seed=1),
        person(jitter=0.01, seed=2, score=0.6),
        person(moved(40, 5, 40, 5)),
        person(moved(40, 5, 40, 5), jitter=0.01, seed=3),
        person(moved(300, 0, 300, 0)),
    ]
    boxes = [BOX, BOX + 1, BOX + 2, moved(40, 5, 40, 5), moved(41, 5, 41, 5), moved(300, 0, 300, 0)]
    scores = [0.9, 0.9, 0.5, 0.8, 0.8, 0.9]
    merged, kept = run(poses, boxes, scores)
    assert len(kept) == 3
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(6)
        again, kept_again = run(
            [poses[i] for i in order], [boxes[i] for i in order], [scores[i] for i in order]
        )
        np.testing.assert_array_equal(order[kept_again], kept)
        np.testing.assert_allclose(again, merged, rtol=1e-6)


def test_best_pose_comes_first() -> None:
    far = moved(300, 0, 300, 0)
    merged, kept = run([person(score=0.4), person(far, score=0.9)], [BOX, far], [0.5, 0.9])
    assert kept.tolist() == [1, 0]
    scores = pose_score(merged, np.array([0.9, 0.5]))
    assert scores[0] > scores[1]


@pytest.mark.parametrize("joints", [17, 136])
def test_nobody(joints: int) -> None:
    merged, kept = pose_nms(np.zeros((0, joints, 3)), np.zeros(0), np.zeros((0, 4)))
    assert merged.shape == (0, joints, 3) and kept.shape == (0,)


def test_ten_people_take_under_a_millisecond() -> None:
    boxes = np.stack([moved(60 * i, 0, 60 * i, 0) for i in range(10)])
    poses = np.stack([person(box) for box in boxes])
    best = np.inf
    for _ in range(30):
        start = time.perf_counter()
        pose_nms(poses, np.full(10, 0.8), boxes)
        best = min(best, time.perf_counter() - start)
    assert best < 1e-3


def test_pose_score_is_alphapose_s() -> None:
    poses = np.zeros((2, 4, 3))
    poses[0, :, 2] = [0.2, 0.4, 0.6, 0.8]
    np.testing.assert_allclose(pose_score(poses, [0.5, 0.9]), [0.5 + 0.5 + 1.25 * 0.8, 0.9])
