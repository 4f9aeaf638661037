from __future__ import annotations

import numpy as np
import pytest
import sequence_files as made

from keyact.errors import InputError, UnknownNameError
from keyact.layouts import get_layout, layout_names
from keyact.sequences import Sequence, Skeleton, known_skeleton, skeleton_of
from keyact.sequences.skeleton import fit, guess_layout

GOOD = {
    "keypoints": np.zeros((1, 4, 17, 2)),
    "scores": np.ones((1, 4, 17)),
    "mask": np.ones((1, 4)),
    "layout": "coco17",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((4, 17, 2))}, "shape"),
        ({"keypoints": np.zeros((1, 4, 17, 4))}, "shape"),
        ({"keypoints": np.full((1, 4, 17, 2), np.nan)}, "finite"),
        ({"keypoints": [["a"]]}, "numbers"),
        ({"keypoints": np.zeros((1, 0, 17, 2)), "scores": np.ones((1, 0, 17))}, "frames"),
        ({"scores": np.ones((1, 4, 16))}, "scores have shape"),
        ({"scores": np.full((1, 4, 17), 1.5)}, r"\[0, 1\]"),
        ({"mask": np.ones((4, 1))}, "mask"),
        ({"layout": "penn13"}, "13 joints"),
        ({"layout": "generic-5"}, "5 joints"),
        ({"fps": 0.0}, "frames per second"),
    ],
)
def test_what_is_not_a_sequence_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sequence(**(GOOD | change))  # type: ignore[arg-type]


def test_arrays_are_copies_and_read_only() -> None:
    source = np.zeros((1, 4, 17, 2), np.float32)
    one = Sequence(**(GOOD | {"keypoints": source}))
    source[:] = 1
    assert (one.keypoints == 0).all()
    for array in (one.keypoints, one.scores, one.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_numbers_that_are_not_finite_are_missing_joints() -> None:
    points = np.ones((4, 17, 2))
    points[1, 3] = np.nan
    one = Sequence.of(points, layout="coco17")
    assert one.scores[0, 1, 3] == 0 and one.scores.sum() == 4 * 17 - 1


def test_unknown_layouts_suggest() -> None:
    with pytest.raises(UnknownNameError, match="coco17"):
        Sequence(**(GOOD | {"layout": "coco71"}))


def test_cut_and_best() -> None:
    one = made.sequence(frames=10)
    assert len(one.cut(2, 5)) == 3
    with pytest.raises(InputError):
        one.cut(5, 12)
    two = Sequence.of(
        np.concatenate([one.keypoints, one.keypoints + 1]),
        np.concatenate([one.scores * 0.2, one.scores]),
        "coco17",
    )
    np.testing.assert_array_equal(two.best(1).keypoints, two.keypoints[1:])
    padded = one.best(3)
    assert padded.people == 3 and not padded.mask[1:].any()


def test_another_layout_keeps_place_and_score_in_3d() -> None:
    one = made.sequence("kinect25", dims=3)
    other = one.to_layout("kinect20")
    hip, wrist = (get_layout("kinect20").index(joint) for joint in ("hip_center", "left_wrist"))
    np.testing.assert_array_equal(other.keypoints[:, :, hip], one.keypoints[:, :, 0])
    np.testing.assert_array_equal(other.keypoints[:, :, wrist], one.keypoints[:, :, 6])


LAYOUTS = ("coco17", "kinect20", "kinect25", "openpose18", "penn13")


@pytest.mark.parametrize("layout", layout_names())
def test_every_layout_has_a_skeleton(layout: str) -> None:
    skeleton = known_skeleton(layout)
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    assert skeleton.flip is not None and skeleton.centre and skeleton.top
    assert len(skeleton.sides) >= 1
    np.testing.assert_allclose(skeleton.parent_matrix.sum(1), 1, rtol=1e-6)
    place = {joint: at for at, joint in enumerate(skeleton.order)}
    for joint, parents in enumerate(skeleton.parents):
        assert all(place[parent] < place[joint] for parent in parents)
        # Mirrored joints hang on mirrored parents.
        mirrored = {skeleton.flip[parent] for parent in parents}
        assert mirrored == set(skeleton.parents[skeleton.flip[joint]])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_told_by_where_joints_lie(layout: str) -> None:
    points = made.moving(layout)
    assert guess_layout(points) == layout
    assert guess_layout(made.picture(points)) == layout
    assert fit(points, known_skeleton(layout)) < 1.6
    mixed = points[:, np.random.default_rng(1).permutation(points.shape[1])]
    assert guess_layout(mixed).startswith("generic-")


def test_bones_of_an_unknown_sensor_follow_from_the_data() -> None:
    order = np.random.default_rng(2).permutation(20)
    clips = [
        Sequence.of(made.moving("kinect20", seed=seed)[:, order], layout="generic-20")
        for seed in range(3)
    ]
    skeleton = skeleton_of(clips)
    true = {frozenset(int(np.flatnonzero(order == j)[0]) for j in edge)
            for edge in known_skeleton("kinect20").edges}  # fmt: skip
    assert len(skeleton.edges) == 19 and np.isfinite(skeleton.hops).all()
    assert len({frozenset(edge) for edge in skeleton.edges} & true) >= 13
    assert skeleton.flip is None and skeleton.sides == ()


def test_a_skeleton_is_of_one_layout() -> None:
    with pytest.raises(InputError, match="2 layouts"):
        skeleton_of([made.sequence("coco17"), made.sequence("penn13")])
    with pytest.raises(InputError, match="no sequence"):
        skeleton_of([])
    with pytest.raises(InputError):
        Skeleton.from_dict({"layout": "coco17"})
