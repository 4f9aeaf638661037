from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keyact.errors import UnknownNameError
from keyact.layouts import convert, get_layout, layout_names

SIZES = {
    "blazepose33": 33,
    "coco133": 133,
    "coco17": 17,
    "halpe136": 136,
    "halpe26": 26,
    "halpe68": 68,
    "kinect20": 20,
    "kinect25": 25,
    "openpose18": 18,
    "openpose25": 25,
    "penn13": 13,
}

# (layout, index, joint) as the publications number them.
PUBLISHED = [
    ("coco17", 0, "nose"),
    ("coco17", 1, "left_eye"),
    ("coco17", 9, "left_wrist"),
    ("coco17", 16, "right_ankle"),
    ("coco133", 17, "left_big_toe"),
    ("coco133", 20, "right_big_toe"),
    ("coco133", 23, "face_0"),
    ("coco133", 90, "face_67"),
    ("coco133", 91, "left_hand_wrist"),
    ("coco133", 112, "right_hand_wrist"),
    ("coco133", 132, "right_pinky_4"),
    ("halpe26", 17, "head"),
    ("halpe26", 18, "neck"),
    ("halpe26", 19, "hip"),
    ("halpe26", 21, "right_big_toe"),
    ("halpe26", 22, "left_small_toe"),
    ("halpe26", 25, "right_heel"),
    ("halpe136", 26, "face_0"),
    ("halpe136", 93, "face_67"),
    ("halpe136", 94, "left_hand_wrist"),
    ("halpe136", 98, "left_thumb_4"),
    ("halpe136", 99, "left_index_1"),
    ("halpe136", 115, "right_hand_wrist"),
    ("halpe136", 135, "right_pinky_4"),
    ("halpe68", 25, "right_heel"),
    ("halpe68", 26, "left_hand_wrist"),
    ("halpe68", 47, "right_hand_wrist"),
    ("halpe68", 67, "right_pinky_4"),
    ("blazepose33", 1, "left_eye_inner"),
    ("blazepose33", 9, "mouth_left"),
    ("blazepose33", 11, "left_shoulder"),
    ("blazepose33", 17, "left_pinky"),
    ("blazepose33", 24, "right_hip"),
    ("blazepose33", 32, "right_foot_index"),
    ("openpose18", 1, "neck"),
    ("openpose18", 2, "right_shoulder"),
    ("openpose18", 7, "left_wrist"),
    ("openpose18", 8, "right_hip"),
    ("openpose18", 13, "left_ankle"),
    ("openpose18", 14, "right_eye"),
    ("openpose18", 17, "left_ear"),
    ("openpose25", 8, "mid_hip"),
    ("openpose25", 9, "right_hip"),
    ("openpose25", 15, "right_eye"),
    ("openpose25", 19, "left_big_toe"),
    ("openpose25", 24, "right_heel"),
    ("penn13", 0, "head"),
    ("penn13", 1, "left_shoulder"),
    ("penn13", 12, "right_ankle"),
    ("kinect20", 0, "hip_center"),
    ("kinect20", 3, "head"),
    ("kinect20", 7, "left_hand"),
    ("kinect20", 19, "right_foot"),
    ("kinect25", 0, "spine_base"),
    ("kinect25", 2, "neck"),
    ("kinect25", 15, "left_foot"),
    ("kinect25", 20, "spine_shoulder"),
    ("kinect25", 21, "left_hand_tip"),
    ("kinect25", 24, "right_thumb"),
]


def person(layout: str, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0.1, 1, (len(get_layout(layout)), 3))
    points[:, :2] *= 500
    return points.astype(np.float32)


def test_every_layout_is_listed() -> None:
    assert layout_names() == sorted(SIZES)


@pytest.mark.parametrize(("name", "index", "joint"), PUBLISHED)
def test_joint_order_is_the_published_one(name: str, index: int, joint: str) -> None:
    assert get_layout(name).joints[index] == joint
    assert get_layout(name).index(joint) == index


@pytest.mark.parametrize("name", sorted(SIZES))
def test_layout_is_sound(name: str) -> None:
    layout = get_layout(name)
    size = len(layout)
    assert layout.name == name
    assert layout.source
    assert size == SIZES[name]
    assert len(set(layout.joints)) == size
    assert len(set(layout.places)) == size
    assert all(0 <= a < size and 0 <= b < size and a != b for a, b in layout.edges)
    assert len({frozenset(edge) for edge in layout.edges}) == len(layout.edges)
    assert len({joint for pair in layout.pairs for joint in pair}) == 2 * len(layout.pairs)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_flip_swaps_left_and_right(name: str) -> None:
    layout = get_layout(name)
    assert (layout.flip[layout.flip] == np.arange(len(layout))).all()
    for row, joint in enumerate(layout.joints):
        if joint.startswith("left_"):
            assert layout.joints[layout.flip[row]] == joint.replace("left_", "right_", 1)
        elif not joint.startswith(("right_", "mouth_", "face_")):
            assert layout.flip[row] == row
    # A limb's mirror image is a limb.
    edges = {frozenset(edge) for edge in layout.edges}
    if name != "halpe136":  # the face chains are open on one side only
        assert {frozenset(layout.flip[list(edge)].tolist()) for edge in edges} == edges


@pytest.mark.parametrize(
    ("joint", "mirror"), [(0, 16), (17, 26), (36, 45), (39, 42), (48, 54), (31, 35), (8, 8)]
)
def test_face_mirrors_by_the_ibug_scheme(joint: int, mirror: int) -> None:
    assert get_layout("halpe136").flip[26 + joint] == 26 + mirror


def test_layouts_cannot_be_changed() -> None:
    layout = get_layout("coco17")
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.name = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        layout.flip[0] = 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: get_layout("coco-17"), "did you mean 'coco17'"),
        (lambda: get_layout("../secrets"), "unknown skeleton layout"),
        (lambda: get_layout("coco17").index("left_elbo"), "did you mean 'left_elbow'"),
        (lambda: convert(np.zeros((17, 3)), "coco17", "penn14"), "did you mean 'penn13'"),
    ],
)
def test_unknown_names_suggest_the_nearest(call, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        call()


# target joint <- mean of these source joints; None: missing.
CONVERSIONS = [
    ("coco17", "openpose18", "right_wrist", ["right_wrist"]),
    ("coco17", "openpose18", "neck", ["left_shoulder", "right_shoulder"]),
    ("coco17", "openpose25", "mid_hip", ["left_hip", "right_hip"]),
    ("coco17", "openpose25", "left_heel", None),
    ("coco17", "penn13", "head", ["left_ear", "right_ear"]),
    ("coco17", "penn13", "left_knee", ["left_knee"]),
    ("coco17", "halpe26", "hip", ["left_hip", "right_hip"]),
    ("coco17", "halpe26", "head", None),
    ("coco17", "kinect25", "spine_base", ["left_hip", "right_hip"]),
    ("coco17", "kinect25", "spine_shoulder", ["left_shoulder", "right_shoulder"]),
    (
        "coco17",
        "kinect25",
        "spine_mid",
        ["left_shoulder", "right_shoulder", "left_hip", "right_hip"],
    ),
    ("coco17", "kinect25", "left_hand_tip", None),
    ("coco17", "kinect20", "spine", None),
    ("coco17", "halpe136", "face_8", None),
    ("halpe26", "penn13", "head", ["left_ear", "right_ear"]),
    ("halpe26", "openpose25", "neck", ["neck"]),
    ("halpe26", "openpose25", "mid_hip", ["hip"]),
    ("halpe26", "kinect20", "left_foot", ["left_big_toe", "left_small_toe"]),
    ("halpe136", "kinect25", "left_hand_tip", ["left_middle_4"]),
    ("halpe136", "kinect25", "right_hand", ["right_wrist", "right_index_1", "right_pinky_1"]),
    ("halpe136", "blazepose33", "mouth_left", ["face_54"]),
    ("halpe136", "blazepose33", "left_eye_outer", ["face_45"]),
    ("blazepose33", "halpe26", "left_big_toe", ["left_foot_index"]),
    ("blazepose33", "kinect25", "left_hand", ["left_wrist", "left_pinky", "left_index"]),
    ("openpose18", "kinect25", "spine_mid", ["neck", "neck", "left_hip", "right_hip"]),
    ("kinect25", "openpose18", "neck", ["spine_shoulder"]),
    ("kinect25", "kinect20", "shoulder_center", ["spine_shoulder"]),
    ("kinect25", "penn13", "head", ["head"]),
    ("kinect25", "coco17", "nose", None),
    ("penn13", "coco17", "nose", None),
    ("penn13", "coco17", "right_ankle", ["right_ankle"]),
]


@pytest.mark.parametrize(("source", "target", "joint", "parts"), CONVERSIONS)
def test_conversion_of_one_joint(
    source: str, target: str, joint: str, parts: list[str] | None
) -> None:
    points = person(source)
    row = convert(points, source, target)[get_layout(target).index(joint)]
    if parts is None:
        assert row.tolist() == [0, 0, 0]
        return
    chosen = points[[get_layout(source).index(part) for part in parts]]
    np.testing.assert_allclose(row[:2], chosen[:, :2].mean(axis=0), rtol=1e-5)
    assert row[2] == chosen[:, 2].min()


def test_missing_part_makes_a_derived_joint_missing() -> None:
    points = person("coco17")
    points[get_layout("coco17").index("left_hip"), 2] = 0
    converted = convert(points, "coco17", "openpose25")
    assert converted[get_layout("openpose25").index("mid_hip")].tolist() == [0, 0, 0]
    assert converted[get_layout("openpose25").index("neck"), 2] > 0


@pytest.mark.parametrize("source", sorted(SIZES))
@pytest.mark.parametrize("target", sorted(SIZES))
def test_every_pair_converts_a_batch_like_single_people(source: str, target: str) -> None:
    people = np.stack([person(source, seed) for seed in range(6)]).reshape(2, 3, -1, 3)
    together = convert(people, source, target)
    assert together.shape == (2, 3, SIZES[target], 3)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[1, 2], convert(people[1, 2], source, target))
    assert (together[..., 2] > 0).any(), "no joint survived"
    assert convert(people[:0], source, target).shape == (0, 3, SIZES[target], 3)


@pytest.mark.parametrize("source", sorted(SIZES))
@pytest.mark.parametrize("target", sorted(SIZES))
def test_mirroring_and_converting_commute(source: str, target: str) -> None:
    points = person(source)
    before = convert(points[get_layout(source).flip], source, target)
    after = convert(points, source, target)[get_layout(target).flip]
    np.testing.assert_allclose(before, after, rtol=1e-5)


@given(
    points=hnp.arrays(np.float32, (17, 3), elements=st.floats(0, 1, width=32)),
    shift=st.floats(-100, 100),
    scale=st.floats(0.1, 10),
)
def test_conversion_follows_the_coordinate_frame(
    points: np.ndarray, shift: float, scale: float
) -> None:
    moved = points.copy()
    moved[:, :2] = moved[:, :2] * scale + shift
    plain, other = (convert(p, "coco17", "kinect25") for p in (points, moved))
    present = plain[:, 2] > 0
    np.testing.assert_array_equal(plain[:, 2], other[:, 2])
    np.testing.assert_allclose(
        other[present, :2], plain[present, :2] * scale + shift, rtol=1e-3, atol=1e-3
    )


def test_same_layout_gives_an_independent_copy() -> None:
    points = person("coco17")
    copy = convert(points, "coco17", "coco17")
    np.testing.assert_array_equal(copy, points)
    assert not np.shares_memory(copy, points)


@pytest.mark.parametrize("shape", [(16, 3), (17, 2), (17,), (3, 17)])
def test_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"coco17 key points have shape \(\.\.\., 17, 3\)"):
        convert(np.zeros(shape), "coco17", "penn13")
