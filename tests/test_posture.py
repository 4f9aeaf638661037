from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyact.action.posture import POSTURES, posture
from keyact.layouts import get_layout

FLIP = get_layout("coco17").flip
HEAD, ARMS, LEGS = slice(0, 5), slice(7, 11), slice(13, 17)


def skeleton(
    torso: float,
    thighs: tuple[float, float],
    shins: tuple[float, float],
    arms: float = 180,
    width: float = 0.2,
    thigh_length: float = 0.85,
    unseen: tuple[slice | list[int], ...] = (),
) -> np.ndarray:
    """A stick figure; hips at the origin, torso of length 1.

    Directions are degrees clockwise from straight up: torso from the hips to the shoulders,
    thighs and shins away from the hips (left, right), arms away from the shoulders.
    ``width`` is half the distance between the shoulders (0.2 front view, 0.03 side view).
    """

    def towards(degrees: float) -> np.ndarray:
        return np.array([np.sin(np.radians(degrees)), -np.cos(np.radians(degrees))])

    across = towards(torso + 90)
    joints = np.zeros((17, 3))
    shoulder = towards(torso)
    joints[HEAD, :2] = shoulder * 1.35
    joints[1:3, :2] += shoulder * 0.05
    joints[[1, 3], :2] += across * width / 4
    joints[[2, 4], :2] -= across * width / 4
    for side, sign in ((0, 1), (1, -1)):
        joints[5 + side, :2] = shoulder + across * sign * width
        joints[7 + side, :2] = joints[5 + side, :2] + 0.6 * towards(arms)
        joints[9 + side, :2] = joints[7 + side, :2] + 0.5 * towards(arms)
        joints[11 + side, :2] = across * sign * width * 0.6
        joints[13 + side, :2] = joints[11 + side, :2] + thigh_length * towards(thighs[side])
        joints[15 + side, :2] = joints[13 + side, :2] + 0.8 * towards(shins[side])
    joints[:, 2] = 0.9
    for part in unseen:
        joints[part, 2] = 0.1
    return joints


def name(joints: np.ndarray) -> str:
    seen = joints[joints[:, 2] > 0.3, :2]
    return posture(joints, [*seen.min(0), *seen.max(0)] if len(seen) else [0, 0, 1, 1])


SIDE = 0.03
TABLE = {
    # standing
    "stands": ("standing", skeleton(0, (175, 185), (178, 182))),
    "stands-sideways": ("standing", skeleton(3, (180, 182), (182, 183), width=SIDE)),
    "walks": ("standing", skeleton(8, (155, 205), (175, 225), width=SIDE)),
    "runs": ("standing", skeleton(15, (120, 200), (185, 245), width=SIDE)),
    "tree-pose": ("standing", skeleton(0, (180, 235), (180, 140))),
    "warrior": ("standing", skeleton(0, (95, 235), (180, 235))),
    "ankles-cut-off": ("standing", skeleton(0, (176, 184), (180, 180), unseen=([15, 16],))),
    "one-leg-seen": ("standing", skeleton(0, (180, 180), (180, 180), unseen=([12, 14, 16],))),
    # sitting
    "chair-sideways": ("sitting", skeleton(-5, (88, 92), (180, 182), width=SIDE)),
    "chair-leaning-back": ("sitting", skeleton(-35, (80, 84), (170, 170), width=SIDE)),
    "chair-front": ("sitting", skeleton(0, (170, 190), (180, 180), thigh_length=0.25)),
    "floor-legs-out": ("sitting", skeleton(-5, (90, 92), (92, 92), width=SIDE)),
    "cross-legged": ("sitting", skeleton(0, (97, 263), (258, 102))),
    "no-ankles": ("sitting", skeleton(0, (90, 92), (180, 180), width=SIDE, unseen=([15, 16],))),
    "sitting-arms-up": ("sitting", skeleton(-5, (88, 92), (180, 182), arms=5, width=SIDE)),
    # crouching
    "full-squat": ("crouching", skeleton(30, (65, 68), (210, 212), width=SIDE)),
    "squat": ("crouching", skeleton(35, (95, 98), (205, 206), width=SIDE)),
    "wide-squat-front": ("crouching", skeleton(0, (105, 255), (180, 180))),
    "kneels-upright": ("crouching", skeleton(0, (180, 178), (268, 270), width=SIDE)),
    "all-fours": ("crouching", skeleton(85, (180, 178), (270, 270), arms=180, width=SIDE)),
    # lying
    "on-the-back": ("lying", skeleton(-90, (90, 92), (90, 91), width=SIDE)),
    "push-up": ("lying", skeleton(-70, (110, 110), (110, 110), width=SIDE)),
    "knees-up": ("lying", skeleton(-90, (40, 44), (150, 150), width=SIDE)),
    "bench-press": ("lying", skeleton(-90, (95, 97), (178, 182), arms=0, width=SIDE)),
    "legs-hidden": ("lying", skeleton(-88, (90, 90), (90, 90), arms=90, unseen=(LEGS,))),
    # arms raised
    "cheers": ("arms raised", skeleton(0, (175, 185), (178, 182), arms=5)),
    "cheers-no-legs": ("arms raised", skeleton(0, (180, 180), (180, 180), arms=0, unseen=(LEGS,))),
    # bending
    "deadlift": ("bending", skeleton(80, (195, 197), (175, 176), width=SIDE)),
    "toe-touch": ("bending", skeleton(140, (185, 186), (180, 180), arms=180, width=SIDE)),
    "downward-dog": ("bending", skeleton(-130, (150, 152), (150, 150), arms=-130, width=SIDE)),
    "half-moon": ("bending", skeleton(90, (180, 270), (180, 270))),
    # unknown
    "no-hips": ("unknown", skeleton(0, (180, 180), (180, 180), unseen=([11, 12],))),
    "no-shoulders": ("unknown", skeleton(0, (180, 180), (180, 180), unseen=([5, 6],))),
    "no-legs": ("unknown", skeleton(0, (180, 180), (180, 180), unseen=(LEGS,))),
    "handstand": ("unknown", skeleton(180, (0, 2), (0, 2), arms=180)),
    "nothing": ("unknown", np.zeros((17, 3))),
    "all-in-one-point": ("unknown", np.ones((17, 3))),
}  # fmt: skip
CASES = pytest.mark.parametrize(
    ("expected", "joints"), [pytest.param(*row, id=key) for key, row in TABLE.items()]
)


@CASES
def test_table(expected: str, joints: np.ndarray) -> None:
    assert name(joints) == expected


@CASES
@given(
    scale=st.floats(3, 3000),
    x=st.floats(-5000, 5000),
    y=st.floats(-5000, 5000),
    mirror=st.booleans(),
)
def test_mirror_scale_and_place_do_not_matter(
    expected: str, joints: np.ndarray, scale: float, x: float, y: float, mirror: bool
) -> None:
    moved = joints.copy()
    if mirror:
        moved = moved[FLIP]
        moved[:, 0] *= -1
    moved[:, :2] = moved[:, :2] * scale + [x, y]
    assert name(moved) == expected


@pytest.mark.parametrize(
    ("joint", "value"), [(9, 0.1), (10, 0.1), (10, np.nan)], ids=["left", "right", "nan"]
)
def test_one_hidden_wrist_is_no_raised_arms(joint: int, value: float) -> None:
    joints = TABLE["cheers"][1].copy()
    joints[joint, 2] = value
    assert posture(joints, [0, 0, 1, 1]) == "standing"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=51, max_size=51))
def test_any_numbers_give_a_posture(values: list[float]) -> None:
    assert posture(np.array(values).reshape(17, 3), [0, 0, 10, 10]) in POSTURES


def test_other_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="coco17"):
        posture(np.zeros((26, 3)), [0, 0, 1, 1])
