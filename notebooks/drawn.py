"""Drawn people who exercise: photos, clips and key points without a picture of anyone.

The tour, the pictures of the documentation and the tests of its commands are made of them.
keyact's networks never saw a drawing in their training, and find these people all the same.

    python notebooks/drawn.py DIR    # photos, clip.mp4, key points as sequences and as COCO
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ACTIONS = ("jumping jack", "squat", "stand")
FPS = 12.5
SECONDS_EACH = 1.6
"""Of one jumping jack or squat."""

_SIDES = ("left", "right")
_PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_JOINTS = ("nose", *(f"{side}_{part}" for part in _PARTS for side in _SIDES))
_THIGH, _SHIN, _TRUNK, _UPPER_ARM, _FOREARM = 0.45, 0.42, 0.52, 0.30, 0.27
_SHIRTS = ((60, 60, 170), (60, 130, 60), (160, 90, 50), (40, 140, 200), (120, 60, 130))
_TROUSERS, _SHOES = (110, 70, 40), (40, 40, 40)
_SKINS = ((140, 170, 225), (90, 125, 180), (60, 80, 120))
_HAIR = ((30, 40, 60), (40, 90, 140), (25, 25, 25))


def joints_of(action: str, phase: float, rng: np.random.Generator | None = None) -> NDArray:
    """(17, 2) COCO-17 joints, y down, hips of a standing person at (0, 0), about 1.9 high.

    ``phase`` goes from 0 (upright) to 1 (arms up, or knees bent) and back by 2. With ``rng`` no
    two people move quite alike.
    """
    vary = rng.normal(0, 1, 6) if rng is not None else np.zeros(6)
    moved = (1 - np.cos(np.pi * phase)) / 2
    arms, legs, knees = 10.0 + 4 * vary[0], 3.0, 0.0
    if action == "jumping jack":
        arms, legs = arms + (145 + 8 * vary[1]) * moved, legs + (17 + 3 * vary[2]) * moved
    elif action == "squat":
        arms, legs = arms + (70 + 10 * vary[1]) * moved, legs + 9 * moved
        knees = (0.85 + 0.08 * vary[2]) * moved
    elif action != "stand":
        raise ValueError(f"{action!r} is none of {', '.join(ACTIONS)}")
    arms = max(arms, 3.0)
    points = {}
    hip_y = 0.42 * knees
    shoulder_y = hip_y - _TRUNK
    for side, sign in zip(_SIDES, (1, -1), strict=True):
        hip = np.array([sign * 0.10, hip_y])
        spread = np.radians(legs)
        reach = _THIGH + _SHIN
        ankle = np.array([sign * (0.10 + np.sin(spread) * reach), np.cos(spread) * reach])
        points[f"{side}_hip"], points[f"{side}_ankle"] = hip, ankle
        points[f"{side}_knee"] = _knee(hip, ankle, sign)
        shoulder = np.array([sign * 0.19, shoulder_y])
        upper = np.radians(arms + 3 * sign * vary[3])
        lower = upper + np.radians(20 if arms > 90 else 6)
        elbow = shoulder + _UPPER_ARM * np.array([sign * np.sin(upper), np.cos(upper)])
        points[f"{side}_shoulder"], points[f"{side}_elbow"] = shoulder, elbow
        points[f"{side}_wrist"] = elbow + _FOREARM * np.array([sign * np.sin(lower), np.cos(lower)])
        head_y = shoulder_y - 0.24
        points[f"{side}_eye"] = np.array([sign * 0.045, head_y - 0.01])
        points[f"{side}_ear"] = np.array([sign * 0.105, head_y])
    points["nose"] = np.array([0.0, head_y + 0.025])
    return np.array([points[name] for name in _JOINTS])


def _knee(hip: NDArray, ankle: NDArray, sign: int) -> NDArray:
    """Where thigh and shin of their lengths meet, bent outwards."""
    away = ankle - hip
    length = min(float(np.linalg.norm(away)), _THIGH + _SHIN - 1e-3)
    bend = np.arccos((_THIGH**2 + length**2 - _SHIN**2) / (2 * _THIGH * length))
    turn = np.arctan2(away[1], away[0]) - sign * bend
    return hip + _THIGH * np.array([np.cos(turn), np.sin(turn)])


def scene(width: int = 360, height: int = 480, seed: int = 0) -> NDArray[np.uint8]:
    """An empty (height, width, 3) BGR place with a floor."""
    rng = np.random.default_rng(seed)
    down = np.linspace(0, 1, height)[:, None, None]
    picture = np.array([225, 215, 200]) * (1 - down) + np.array([200, 195, 190]) * down
    picture = np.broadcast_to(picture, (height, width, 3)).astype(np.float32).copy()
    floor = int(0.72 * height)
    picture[floor:] = np.array([120, 150, 165]) * (1 - 0.3 * down[floor:])
    picture *= rng.uniform(0.85, 1.1)
    grain = rng.normal(0, 12, picture.shape).astype(np.float32)
    return (picture + cv2.GaussianBlur(grain, (0, 0), 1)).clip(0, 255).astype(np.uint8)


def draw(picture: NDArray[np.uint8], joints: NDArray, look: int = 0) -> None:
    """Draw one person over the picture; ``joints`` (17, 2) in its pixels."""
    at = dict(zip(_JOINTS, joints, strict=True))
    size = float(np.linalg.norm(at["left_shoulder"] - at["right_shoulder"])) / 0.38
    skin, hair = _SKINS[look % len(_SKINS)], _HAIR[look // 2 % len(_HAIR)]
    shirt = _SHIRTS[look % len(_SHIRTS)]

    def limb(start: NDArray, end: NDArray, from_: float, to: float, colour: tuple) -> None:
        along = (end - start) / (np.linalg.norm(end - start) + 1e-6)
        across = np.array([-along[1], along[0]])
        corners = [start + across * from_ * size, end + across * to * size,
                   end - across * to * size, start - across * from_ * size]  # fmt: skip
        fine = np.round(np.array(corners) * 16).astype(np.int32)
        cv2.fillPoly(picture, [fine], colour, cv2.LINE_AA, 4)
        for point, radius in ((start, from_), (end, to)):
            dot(point, radius, colour)

    def dot(point: NDArray, radius: float, colour: tuple) -> None:
        fine = np.round(np.asarray(point) * 16).astype(int).tolist()
        cv2.circle(picture, fine, max(16, round(radius * size * 16)), colour, -1, cv2.LINE_AA, 4)

    for side, sign in zip(_SIDES, (1, -1), strict=True):
        hip, knee, ankle = (at[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
        limb(hip, knee, 0.085, 0.065, _TROUSERS)
        limb(knee, ankle, 0.062, 0.042, _TROUSERS)
        limb(ankle, ankle + np.array([sign * 0.09, 0.04]) * size, 0.04, 0.03, _SHOES)
    shoulders = [at["left_shoulder"], at["right_shoulder"]]
    hips = [at["left_hip"], at["right_hip"]]
    limb(*hips, 0.075, 0.075, _TROUSERS)
    neck = sum(shoulders) / 2
    limb(neck, neck - np.array([0, 0.12]) * size, 0.055, 0.05, skin)
    trunk = np.array([*shoulders, *hips[::-1]])
    cv2.fillPoly(picture, [np.round(trunk).astype(np.int32)], shirt, cv2.LINE_AA)
    limb(*shoulders, 0.06, 0.06, shirt)
    for side in _SIDES:
        limb(at[f"{side}_shoulder"], at[f"{side}_hip"] * 0.9 + at[f"{side}_shoulder"] * 0.1,
             0.07, 0.065, shirt)  # fmt: skip
    for side in _SIDES:
        shoulder, elbow, wrist = (at[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist"))
        limb(shoulder, elbow, 0.06, 0.048, shirt)
        limb(elbow, wrist, 0.042, 0.03, skin)
        limb(wrist, wrist + 0.2 * (wrist - elbow), 0.035, 0.03, skin)
    head = (at["left_ear"] + at["right_ear"]) / 2
    cv2.ellipse(picture, (head.tolist(), (0.20 * size, 0.27 * size), 0), skin, -1, cv2.LINE_AA)
    top = np.round(head - np.array([0, 0.03]) * size).astype(int).tolist()
    axes = (round(0.105 * size), round(0.125 * size))
    cv2.ellipse(picture, top, axes, 0, 180, 360, hair, -1, cv2.LINE_AA)
    for side in _SIDES:
        dot(at[f"{side}_ear"], 0.025, skin)
        dot(at[f"{side}_eye"], 0.012, (20, 20, 20))
    dot(at["nose"], 0.012, tuple(round(0.8 * part) for part in skin))
    mouth = np.round(head + np.array([0, 0.065]) * size).astype(int).tolist()
    axes = (max(1, round(0.04 * size)), max(1, round(0.015 * size)))
    cv2.ellipse(picture, mouth, axes, 0, 0, 180, (90, 90, 170), max(1, round(0.012 * size)))


def placed(joints: NDArray, x: float, y: float, size: float) -> NDArray:
    """Joints of `joints_of` in pixels: the standing hips at (x, y), one unit ``size`` pixels."""
    return joints * size + np.array([x, y])


def photo(action: str, seed: int = 0, phase: float | None = None) -> tuple[NDArray, NDArray]:
    """A picture (480, 360, 3) BGR of one person, and the joints (17, 2) drawn.

    Without ``phase`` it is caught far enough into the action to tell it.
    """
    rng = np.random.default_rng(seed)
    picture = scene(seed=seed)
    moment = rng.uniform(0.7, 1.3) if phase is None else phase
    size = rng.uniform(165, 200)
    x, y = rng.uniform(160, 200), rng.uniform(225, 260)
    joints = placed(joints_of(action, moment, rng), x, y, size)
    draw(picture, joints, look=int(rng.integers(15)))
    return picture, joints


def write_photos(
    folder: Path, count: int = 12, actions: tuple[str, ...] = ACTIONS, seed: int = 0
) -> None:
    """``count`` photos of each action, a folder per action."""
    for number, action in enumerate(actions):
        (folder / action).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture, _ = photo(action, seed + 1000 * number + i)
            cv2.imwrite(str(folder / action / f"{i:02d}.jpg"), picture)


def motion(action: str, seconds: float, seed: int = 0, fps: float = FPS) -> NDArray:
    """(T, 17, 2) joints of somebody who does something over and over, as `joints_of`."""
    rng = np.random.default_rng(seed)
    pace, start = rng.uniform(0.85, 1.2), rng.uniform(0, 2)
    who = int(rng.integers(2**31))
    times = np.arange(round(seconds * fps)) / fps
    phases = start + 2 * pace * times / SECONDS_EACH
    return np.array([joints_of(action, p % 2, np.random.default_rng(who)) for p in phases])


def write_clip(
    path: Path, actions: tuple[str, ...] = ("jumping jack", "squat"), seconds: float = 5.0,
    seed: int = 0, fps: float = FPS,
) -> None:  # fmt: skip
    """A clip of one person who does one action after the other, ``seconds`` each."""
    from keyact.outputs import VideoWriter

    rng = np.random.default_rng(seed)
    ground = scene(seed=seed)
    parts = [motion(action, seconds, seed, fps) for action in actions]
    with VideoWriter(path, fps) as clip:
        for joints in np.concatenate(parts):
            picture = ground.copy()
            draw(picture, placed(joints, 180 + rng.normal(0, 0.5), 240, 185), look=seed)
            clip.write(picture)


def write_sequences(
    path: Path, count: int = 12, actions: tuple[str, ...] = ACTIONS, frames: int = 32, seed: int = 0
) -> None:
    """Key point recordings, ``count`` of each action, a third of them the split ``test``."""
    from keyact.sequences import Sequence, save_sequences

    rng = np.random.default_rng(seed)
    recordings = []
    for action in actions:
        for i in range(count):
            points = motion(action, frames / FPS, int(rng.integers(2**31)))
            points = placed(points, rng.uniform(100, 220), 240, rng.uniform(120, 190))
            points += rng.normal(0, 1.5, points.shape)  # as a network would see them
            recordings.append(
                Sequence.of(points, layout="coco17", label=action, name=f"{action} {i}", fps=FPS,
                            size=(360, 480), split="test" if i % 3 == 2 else "train")
            )  # fmt: skip
    save_sequences(path, recordings)


def write_coco(folder: Path, annotations: Path, count: int = 3) -> None:
    """Photos and the joints drawn, as COCO key point annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    images, people = [], []
    for i in range(count):
        picture, joints = photo(ACTIONS[i % len(ACTIONS)], seed=100 + i)
        name = f"{i:02d}.jpg"
        cv2.imwrite(str(folder / name), picture)
        height, width = picture.shape[:2]
        images.append({"id": i, "file_name": name, "width": width, "height": height})
        low, high = joints.min(0) - 20, joints.max(0) + 20
        box = [*low.tolist(), *(high - low).tolist()]
        points = np.concatenate([joints, np.full((17, 1), 2)], 1)
        people.append({"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": box,
                       "area": float(0.5 * box[2] * box[3]), "num_keypoints": 17,
                       "keypoints": points.ravel().tolist()})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(_JOINTS)}
    text = {"images": images, "annotations": people, "categories": [category]}
    annotations.write_text(json.dumps(text), "utf-8")


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    write_photos(folder / "photos")
    write_clip(folder / "clip.mp4")
    write_sequences(folder / "sequences.npz")
    write_coco(folder / "annotated", folder / "annotated.json")
    print(f"Wrote photos, clip.mp4, sequences.npz, annotated and annotated.json into {folder}")


if __name__ == "__main__":
    main()
