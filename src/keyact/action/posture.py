"""Posture of one person from COCO-17 key points, by geometry alone.

It serves photos outside the classes of the action model: no training, no photo, one rule at a
time. All lengths are in `body units`: the projected torso (mid-shoulder to mid-hip), or the
longest visible leg over `LEG_PER_TORSO` where that is more, since either may point at the
camera. Angles are in the picture plane; a camera that is level is assumed.

The rules, in order; the first that holds gives the posture:

1. ``unknown``: shoulders or hips are not seen, or the body is upside down with the feet up.
   Later rules end there too when the legs they need are not in the picture.
2. torso at or beyond `BENT` from the vertical: ``bending`` when it is carried by a leg whose
   thigh points down and whose foot is well below the hips.
3. torso at or beyond `FLAT`: ``lying`` when the thighs go on in the line of the torso or the
   knees are above the hips (planks and push-ups count as lying too).
4. legs folded: ``crouching`` (feet, or knees, under the trunk: squatting, kneeling, on all
   fours) or ``sitting`` (feet in front, or as high as the hips).
5. torso upright: ``arms raised`` when both wrists are above the eyes, else ``standing`` when
   the legs reach down. Arms up says more than standing, so it wins over it, and it needs no
   legs in the picture; it does not win over sitting, crouching, bending and lying, which the
   whole body decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

POSTURES = ("standing", "sitting", "lying", "crouching", "arms raised", "bending", "unknown")

SEEN = 0.3  # joint score: below it joints are guessed more often than found
MAX_COORDINATE = 1e7  # pixels: no photo reaches it, and lengths cannot overflow
LEG_PER_TORSO = 1.65  # hip to ankle over mid-shoulder to mid-hip, adult
BENT = 45.0  # degrees; runners and walkers lean by less than 25
FLAT = 60.0  # degrees; a push-up with straight arms is at about 65
UPSIDE_DOWN = 135.0  # degrees; with the feet up: a handstand, which has no name here
IN_LINE = 120.0  # degrees at the hip; 90 is a trunk bent over standing legs
REACH_STANDING = 1.1  # feet below hips, units; 1.65 straight, 0.9 on a chair
REACH_TALL = 1.4  # from here on bent knees are a stride, not a squat
REACH_BENDING = 0.8  # a bent trunk often goes with bent knees
CARRYING = 60.0  # degrees of the thigh from the vertical; on a bench press it is level
REACH_STRIDE = 0.7  # a deep lunge: the hips sink but one leg stays straight
STRIDE = 0.9  # feet apart in such a lunge, units
STRAIGHT = 145.0  # degrees at the knee
FOLDED = 125.0  # degrees at the knee: a half squat
FLOOR = 0.2  # feet less than this below the hips: the hips are on the floor
DEEP = 0.5  # feet less than this below the hips, under the trunk: a full squat
KNEES_OPEN = 1.4  # knees apart, units, with the hips that low: cross-legged on the floor
BALANCE = 0.25  # trunk at most this far outside the feet: it could not stay up otherwise
THIGH_SEEN = 0.55  # thigh over unit; shorter points at the camera: a lap (0.85 in full)
SHIN_FLAT = 0.3  # ankle less than this below the knee, units: the shin lies on the floor
KNEES_UP = 0.3  # knees at least this far above the hips, units: on the back
THIGH_DOWN = 40.0  # degrees from the vertical: standing or kneeling, not sitting
THIGH_LEVEL = 55.0  # degrees from the vertical, when no ankle is in the picture
LONG_BOX = 1.3  # width over height of the box of a person lying, when no leg is seen

_EYES_AND_NOSE = [0, 1, 2]
_EARS = [3, 4]
_SHOULDERS, _WRISTS, _HIPS = [5, 6], [9, 10], [11, 12]
_LEGS = ([11, 13, 15], [12, 14, 16])

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Leg:
    """One leg with hip and knee in sight; y grows downwards, lengths in pixels."""

    hip: Vector
    knee: Vector
    ankle: Vector | None

    @property
    def thigh(self) -> float:
        return float(np.linalg.norm(self.knee - self.hip))

    @property
    def length(self) -> float:
        shin = 0.0 if self.ankle is None else float(np.linalg.norm(self.ankle - self.knee))
        return self.thigh + shin

    @property
    def thigh_tilt(self) -> float:
        """Degrees of the thigh from pointing straight down."""
        return _angle(self.knee - self.hip, np.array([0.0, 1.0]))

    @property
    def knee_angle(self) -> float | None:
        if self.ankle is None:
            return None
        return _angle(self.hip - self.knee, self.ankle - self.knee)


@dataclass(frozen=True)
class _Body:
    shoulder: Vector
    hip: Vector
    legs: tuple[_Leg, ...]
    unit: float

    @property
    def tilt(self) -> float:
        """Degrees of the torso from upright: 90 lies flat, 180 hangs head down."""
        return _angle(self.shoulder - self.hip, np.array([0.0, -1.0]))

    @property
    def hip_angle(self) -> float:
        """Degrees between torso and the straighter thigh: 180 in line."""
        return max(_angle(self.shoulder - self.hip, leg.knee - leg.hip) for leg in self.legs)

    def below_hips(self, points: list[Vector]) -> float:
        """Units by which the lowest of the points is below the hips."""
        return float(max(point[1] for point in points) - self.hip[1]) / self.unit


def posture(keypoints: ArrayLike, box: ArrayLike) -> str:
    """Name the posture of one person.

    Mirroring, moving or scaling key points and box together does not change the answer.

    Parameters
    ----------
    keypoints : (17, 3) COCO-17 x, y in photo pixels (y downwards) and score.
    box : (4,) xyxy of the person in photo pixels.

    Returns
    -------
    One of `POSTURES`.

    Raises
    ------
    ValueError : keypoints that are not (17, 3).
    """
    joints = np.asarray(keypoints, np.float64)
    if joints.shape != (17, 3):
        raise ValueError(f"keypoints must be (17, 3) in layout coco17, got {joints.shape}")
    body = _body(joints)
    if body is None:
        return "unknown"
    ankles = [leg.ankle for leg in body.legs if leg.ankle is not None]
    reach = body.below_hips(ankles) if ankles else None

    if body.tilt >= UPSIDE_DOWN and reach is not None and reach <= -REACH_BENDING:
        return "unknown"
    if body.tilt >= BENT and _is_bending(body):
        return "bending"
    if body.tilt >= FLAT and _is_lying(body, np.asarray(box, np.float64)):
        return "lying"
    stance = _stance_without_feet(body) if reach is None else _stance(body, ankles, reach)
    upright = body.tilt < BENT
    if stance in ("standing", "unknown") and upright and _arms_raised(joints):
        return "arms raised"
    return stance if upright or stance != "standing" else "unknown"


def _seen(joints: Vector) -> NDArray[np.bool_]:
    # The bound also turns away NaN and infinity.
    return (joints[:, 2] >= SEEN) & (np.abs(joints[:, :2]) <= MAX_COORDINATE).all(1)


def _body(joints: Vector) -> _Body | None:
    seen = _seen(joints)

    def middle(pair: list[int]) -> Vector | None:
        rows = [joints[i, :2] for i in pair if seen[i]]
        return np.mean(rows, axis=0) if rows else None

    shoulder, hip = middle(_SHOULDERS), middle(_HIPS)
    if shoulder is None or hip is None:
        return None
    legs = tuple(
        _Leg(joints[h, :2], joints[k, :2], joints[a, :2] if seen[a] else None)
        for h, k, a in _LEGS
        if seen[h] and seen[k]
    )
    longest = max((leg.length for leg in legs if leg.ankle is not None), default=0.0)
    unit = max(float(np.linalg.norm(shoulder - hip)), longest / LEG_PER_TORSO)
    return _Body(shoulder, hip, legs, unit) if unit > 0 else None


def _angle(a: Vector, b: Vector) -> float:
    """Degrees between two vectors, 0 to 180; 0 when one of them has no length."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return 0.0
    return float(np.degrees(np.arccos(np.clip(float(a @ b) / lengths, -1, 1))))


def _is_bending(body: _Body) -> bool:
    return any(
        leg.ankle is not None
        and body.below_hips([leg.ankle]) >= REACH_BENDING
        and leg.ankle[1] - leg.knee[1] >= SHIN_FLAT * body.unit  # else on all fours
        and leg.thigh_tilt <= CARRYING
        for leg in body.legs
    )


def _is_lying(body: _Body, box: Vector) -> bool:
    if not body.legs:
        width, height = box[2:] - box[:2]
        return bool(width >= LONG_BOX * height)
    knees_up = body.below_hips([leg.knee for leg in body.legs]) <= -KNEES_UP
    return knees_up or body.hip_angle >= IN_LINE


def _stance(body: _Body, ankles: list[Vector], reach: float) -> str:
    """What legs with at least one foot in sight do, for a trunk that is not lying."""
    left, right = (float(edge(ankle[0] for ankle in ankles)) for edge in (min, max))
    trunk = float(body.shoulder[0] + body.hip[0]) / 2
    balanced = left - BALANCE * body.unit <= trunk <= right + BALANCE * body.unit
    knee_angles = [leg.knee_angle for leg in body.legs if leg.knee_angle is not None]

    striding = (
        reach >= REACH_STRIDE
        and right - left >= STRIDE * body.unit
        and left <= body.hip[0] <= right
        and max(knee_angles) >= STRAIGHT
    )
    tall = reach >= REACH_TALL or (reach >= REACH_STANDING and max(knee_angles) >= FOLDED)
    if tall or striding:
        return "standing"
    knees = [leg.knee for leg in body.legs]
    knees_apart = float(np.ptp([knee[0] for knee in knees]))
    if reach < FLOOR or (reach < DEEP and knees_apart >= KNEES_OPEN * body.unit):
        return "sitting"
    if reach - body.below_hips(knees) < SHIN_FLAT:  # kneeling, else cross-legged
        kneeling = min(leg.thigh_tilt for leg in body.legs) <= THIGH_DOWN
        return "crouching" if kneeling else "sitting"
    thigh = max(leg.thigh for leg in body.legs) / body.unit
    if balanced and min(knee_angles) < FOLDED and (thigh >= THIGH_SEEN or reach < DEEP):
        return "crouching"
    return "sitting"


def _stance_without_feet(body: _Body) -> str:
    """The feet are outside the photo or hidden: the thighs decide, where they can."""
    if not body.legs or body.tilt >= BENT:
        return "unknown"
    angles = [leg.thigh_tilt for leg in body.legs]
    thighs = [leg.thigh / body.unit for leg in body.legs]
    if min(angles) <= THIGH_DOWN and max(thighs) >= THIGH_SEEN:
        return "standing"
    if min(angles) >= THIGH_LEVEL or max(thighs) < THIGH_SEEN:
        return "sitting"
    return "unknown"


def _arms_raised(joints: Vector) -> bool:
    """Both wrists above the eyes (above the ears for a person seen from behind)."""
    seen = _seen(joints)
    head = [i for i in _EYES_AND_NOSE if seen[i]] or [i for i in _EARS if seen[i]]
    if not head or not seen[_WRISTS].all():
        return False
    return bool(joints[_WRISTS, 1].max() < joints[head, 1].min())
