"""AlphaPose's pose NMS against its published rule, written down one joint at a time."""

from __future__ import annotations

from math import dist, exp, tanh
from typing import Any

import numpy as np
import pytest

from keyact.layouts import get_layout
from keyact.pose.alphapose import AlphaPose
from keyact.pose.alphapose.nms import (
    BODY,
    WHOLE_BODY,
    Constants,
    alphapose_nms,
    constants_for,
)
from keyact.pose.nms import nms_for, pose_nms
from keyact.recognizer import Recognizer
from keyact.runtime import OnnxModel
from tests.onnx_models import make_pose


def test_the_two_published_sets_of_constants() -> None:
    assert BODY._asdict() == {
        "delta1": 1, "mu": 1.7, "delta2": 2.65, "gamma": 22.48, "min_score": 0.3, "matches": 5,
        "alpha": 0.1,
    }  # fmt: skip
    assert WHOLE_BODY._asdict() == {
        "delta1": 1, "mu": 1.65, "delta2": 8, "gamma": 3.6, "min_score": 0.01, "matches": 3,
        "alpha": 0.15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("joints", "head", "expected"),
    [
        (17, "heatmap", BODY), (17, "regression", BODY), (26, "heatmap", BODY),
        (26, "regression", BODY), (68, "combined", BODY), (133, "heatmap", BODY),
        (136, "heatmap", BODY), (133, "regression", WHOLE_BODY), (136, "regression", WHOLE_BODY),
        (136, "combined", WHOLE_BODY),
    ],
)  # fmt: skip
def test_which_set_is_used(joints: int, head: str, expected: Constants) -> None:
    assert constants_for(joints, head) == expected


def person(joints: int, random: np.random.Generator, side: float = 120) -> np.ndarray:
    return np.column_stack([random.uniform(0, side, (joints, 2)), random.uniform(0.4, 1, joints)])


def moved(pose: np.ndarray, random: np.random.Generator, spread: float) -> np.ndarray:
    copy = pose.copy()
    copy[:, :2] += random.normal(0, spread, copy[:, :2].shape)
    copy[:, 2] = (copy[:, 2] * random.uniform(0.6, 1, len(copy))).clip(0, 1)
    return copy


def box_of(pose: np.ndarray) -> list[float]:
    return [*pose[:, :2].min(0), *pose[:, :2].max(0)]


def by_hand(
    poses: np.ndarray, boxes: list[list[float]], c: Constants, area: float
) -> list[tuple[int, np.ndarray]]:
    """The rule in the words of its constants, with plain numbers."""
    count = poses.shape[1]
    whole = count in (133, 136)
    poses = poses.copy()
    poses[..., 2][poses[..., 2] == 0] = 1e-5
    left, found = list(range(len(poses))), []
    while left:
        best = max(left, key=lambda n: poses[n, :, 2].mean())
        x1, y1, x2, y2 = boxes[best]
        reach = c.alpha * max(x2 - x1, y2 - y1)
        gone = []
        for other in left:
            a, b = poses[best], poses[other]
            apart = [dist(p[:2], q[:2]) for p, q in zip(a, b, strict=True)]
            trust = [
                tanh(p[2] / c.delta1) * tanh(q[2] / c.delta1) if d <= 1 else 0
                for p, q, d in zip(a, b, apart, strict=True)
            ]
            limit = min(reach, 7)
            if not whole:
                similarity = sum(trust) + c.mu * sum(exp(-d / c.delta2) for d in apart)
                matches = float(sum(d <= limit for d in apart))
            else:
                unsure = [q[2] < c.min_score for q in b]
                similarity = 0.0
                for first, last, reach_of, weight, far_weight in (
                    (0, count - 110, 1, 1, 1),
                    (count - 110, count - 42, 1.9, 1, 1),
                    (count - 42, count, 0.55, 0.1, 1.5),
                ):
                    part, n = range(first, last), last - first
                    sure = sum(trust[k] for k in part if unsure[k]) / n
                    near = sum(
                        exp(-apart[k] / (c.delta2 * reach_of)) for k in part if not unsure[k]
                    )
                    similarity += weight * sure + c.mu * far_weight * near / n
                matches = 0.0
                visible = 2 * len(left) * sum(p[2] > c.min_score / 2 for p in a)
                if visible >= 2:
                    for k, d in enumerate(apart):
                        reach_of = 1 if k < 26 else 1.9 if k < 94 else 0.55
                        matches += float(d / limit <= reach_of)
                    matches = matches / visible / 2 * count
            if similarity > c.gamma or matches >= c.matches or other == best:
                gone.append(other)
        left = [n for n in left if n not in gone]
        merged = np.zeros((count, 3))
        for k in range(count):
            near = [n for n in gone if dist(poses[n, k, :2], poses[best, k, :2]) <= min(reach, 15)]
            total = sum(poses[n, k, 2] for n in near)
            merged[k] = sum(poses[n, k] * poses[n, k, 2] / total for n in near)
        width, height = np.ptp(merged[:, :2], axis=0)
        if (
            poses[best, :, 2].max() >= c.min_score
            and merged[:, 2].max() >= c.min_score
            and 1.5**2 * width * height >= area
        ):
            found.append((best, merged))
    return found


@pytest.mark.parametrize("head", ["heatmap", "regression"])
@pytest.mark.parametrize("joints", [17, 26, 68, 133, 136])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_published_rule(joints: int, head: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    first = [person(joints, random) for _ in range(3)]
    poses = first + [moved(p, random, s) for p in first for s in (0.3, 3, 9)]
    poses[-1][:, 2] *= 0.2  # without a joint over .3
    poses[-2][::2, 2] = 0
    boxes = [box_of(pose) for pose in poses]
    constants = constants_for(joints, head)
    for area in (0.0, 30_000.0):
        expected = by_hand(np.array(poses), boxes, constants, area)
        merged, kept = alphapose_nms(poses, boxes, constants, area)
        assert kept.tolist() == [n for n, _ in expected]
        assert merged.dtype == np.float32 and merged.shape == (len(kept), joints, 3)
        for one, (_, other) in zip(merged, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert 0 < len(alphapose_nms(poses, boxes, constants).kept) < len(poses)


@pytest.mark.parametrize("joints", [17, 136])
def test_nobody(joints: int) -> None:
    merged, kept = alphapose_nms(np.zeros((0, joints, 3)), np.zeros((0, 4)))
    assert merged.shape == (0, joints, 3) and kept.shape == (0,)


def test_poses_without_a_sure_joint_are_dropped() -> None:
    pose = person(17, np.random.default_rng(0))
    pose[:, 2] = 0.29
    assert len(alphapose_nms([pose], [box_of(pose)]).kept) == 0
    pose[3, 2] = 0.31
    assert len(alphapose_nms([pose], [box_of(pose)]).kept) == 1


def alphapose(head: str, **changes: Any) -> AlphaPose:
    data = make_pose(scores=False, family="alphapose", head=head, sigma=2.0, **changes)
    return AlphaPose(OnnxModel(data, threads=1), "dots")


def test_a_backend_s_own_rule_is_taken() -> None:
    """Two poses side by side whose faces coincide: AlphaPose's rule merges them, keyact's not."""
    random = np.random.default_rng(0)
    one = person(17, random)
    two = one.copy()
    two[5:, 0] += 60
    boxes = [box_of(one), box_of(two)]
    assert len(nms_for(alphapose("heatmap"))([one, two], [0.9, 0.8], boxes).kept) == 1
    assert len(nms_for(Fixed([one, two]))([one, two], [0.9, 0.8], boxes).kept) == 2


class Fixed:
    """A pose backend that always sees the same people."""

    name, layout = "fixed", "coco17"

    def __init__(self, poses: list[np.ndarray]) -> None:
        self.poses = np.array(poses, np.float32)

    def __call__(self, image: Any, boxes: Any) -> Any:
        return self.poses

    def detector(self, image: Any) -> Any:
        boxes = np.array([box_of(pose) for pose in self.poses], np.float32)
        return boxes, np.array([0.9, 0.8], np.float32)


class Alphaposed(Fixed):
    def suppress(self, keypoints: Any, box_scores: Any, boxes: Any) -> Any:
        return alphapose("heatmap").suppress(keypoints, box_scores, boxes)


class OneAction:
    name, labels, unknown_threshold = "one", ("standing",), 0.0

    def __call__(self, image: Any, boxes: Any, keypoints: Any) -> Any:
        return np.ones((len(boxes), 1), np.float32), np.ones(1, np.float32)


@pytest.mark.parametrize(("backend", "people"), [(Fixed, 2), (Alphaposed, 1)])
def test_the_recognizer_asks_the_backend(backend: type[Fixed], people: int) -> None:
    one = person(17, np.random.default_rng(0))
    two = one.copy()
    two[5:, 0] += 60
    estimate = backend([one, two])
    recognize = Recognizer(OneAction(), estimate, estimate.detector)  # type: ignore[arg-type]
    assert len(recognize(np.zeros((200, 300, 3), np.uint8)).people) == people


@pytest.mark.parametrize("layout", ["coco133", "halpe136", "halpe68"])
def test_face_and_hands_do_not_outvote_the_body(layout: str) -> None:
    """Heads cheek to cheek and hand in hand, bodies apart: two people; the same body: one."""
    count = len(get_layout(layout))
    body = 23 if layout == "coco133" else 26
    random = np.random.default_rng(1)
    one = person(count, random, side=300)
    two = one.copy()
    two[5:body, 0] += 90
    boxes = [[0, 0, 300, 300], [0, 0, 390, 300]]
    assert len(pose_nms([one, two], [0.9, 0.8], boxes, layout).kept) == 2
    merged, kept = pose_nms([one, moved(one, random, 1.0)], [0.9, 0.8], boxes, layout)
    assert kept.tolist() == [0] and merged.shape == (1, count, 3)
    np.testing.assert_allclose(merged[0, :, :2], one[:, :2], atol=5)
    assert np.abs(merged[0, body:, :2] - one[body:, :2]).max() > 0  # merged there, too
