"""Recordings of none of the actions: people who stand, walk, run, gesture, or hold a pose.

A network that has only seen actions gives every window one of their names. Penn Action has no
recordings of anything else, so these are made: a stick figure in 3D whose joints turn as people's
do in walking and running (hips as a sine, knees bent in the swing, arms against the legs), seen
from any side; and poses of photos, held still or drifting from one to another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.layouts import convert
from keyact.sequences import UNCERTAIN, Sequence

NONE = "none"
FPS = 30.0
SEEN = 0.3  # score of a joint of the photos that counts as seen
Array = NDArray[np.float64]
Random = np.random.Generator

# Lengths in body heights (Winter, Biomechanics and Motor Control of Human Movement, 2009).
THIGH, SHANK, TRUNK, NECK, UPPER_ARM, FOREARM = 0.245, 0.246, 0.288, 0.13, 0.186, 0.146
HIPS, SHOULDERS = 0.19, 0.26
ORDER = ("head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
         "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
         "right_ankle")  # fmt: skip


def negatives(labels: Path, count: int, seed: int = 0) -> list[Sequence]:
    """``count`` recordings labelled `NONE`, to learn from; half are figures, half come from photos.

    Parameters
    ----------
    labels : folder of what `training.label` wrote of sports18 and exercises.
    """
    rng = np.random.default_rng(seed)
    poses = [pose for name in ("sports18", "exercises") for pose in _poses(labels / f"{name}.npz")]
    made = []
    for i in range(count):
        frames = int(rng.integers(30, 120))
        if i % 2 == 0:
            points, scores = figure(frames, rng), np.ones((frames, len(ORDER)))
        else:
            ends = [poses[j] for j in rng.integers(len(poses), size=2)]
            made_of = _between(*ends, frames, rng) if i % 4 == 1 else _held(ends[0], frames, rng)
            points, scores = made_of
        noise = rng.uniform(0, 0.02) * np.ptp(points, axis=(0, 1)).max()
        points = points + rng.normal(0, noise, points.shape)
        made.append(
            Sequence.of(
                points,
                scores,
                "penn13",
                fps=FPS,
                label=NONE,
                split="train",
                name=f"none-{i:04d}",
                group=f"none-{i:04d}",
            )
        )
    return made


def figure(frames: int, rng: Random) -> Array:
    """(frames, 13, 2) of somebody who stands, walks, runs or gestures, y down, in pixels."""
    kind = rng.choice(["stand", "walk", "run", "gesture"])
    pace = {"stand": 0.3, "walk": 1.0, "run": 1.4, "gesture": 0.3}[kind] * rng.uniform(0.7, 1.3)
    at = np.arange(frames) / FPS
    phase = 2 * np.pi * (pace * at + rng.random())
    swing = {"stand": 2, "walk": 25, "run": 42, "gesture": 3}[kind] * rng.uniform(0.7, 1.3)
    bend = {"stand": 3, "walk": 55, "run": 95, "gesture": 4}[kind] * rng.uniform(0.7, 1.2)
    elbows = rng.uniform(5, 40) if kind in ("stand", "walk") else rng.uniform(50, 110)
    lean = np.radians(rng.normal(8 if kind == "run" else 2, 3))
    joints = np.zeros((frames, len(ORDER), 3))  # x to the left of the body, y up, z forward
    up = np.array([0.0, np.cos(lean), np.sin(lean)])
    bob = 0.015 * np.cos(2 * phase) * (kind in ("walk", "run"))
    centre = np.stack([0 * bob, bob, 0 * bob], -1)
    joints[:, 0] = centre + (TRUNK + NECK) * up
    for side, (sign, turn) in enumerate(((1, 0.0), (-1, np.pi))):
        hip = np.radians(swing * np.sin(phase + turn))
        knee = np.radians(3 + bend * np.clip(np.sin(phase + turn + 0.9), 0, None) ** 2)
        place = centre + np.array([sign * HIPS / 2, 0, 0])
        joints[:, 7 + side] = place
        joints[:, 9 + side] = place + THIGH * _down(hip)
        joints[:, 11 + side] = joints[:, 9 + side] + SHANK * _down(hip - knee)
        if kind == "gesture":
            shoulder = np.radians(_wander(at, 40, rng))
            elbow = np.radians(60 + _wander(at, 45, rng))
            aside = np.radians(15 + np.abs(_wander(at, 30, rng)))
        else:
            shoulder = np.radians(-0.8 * swing * np.sin(phase + turn) + rng.normal(0, 5))
            elbow, aside = np.radians(elbows + 0.2 * swing * np.sin(phase)), np.radians(8 + 0 * at)
        place = centre + TRUNK * up + np.array([sign * SHOULDERS / 2, 0, 0])
        joints[:, 1 + side] = place
        joints[:, 3 + side] = place + UPPER_ARM * _down(shoulder, sign * aside)
        joints[:, 5 + side] = joints[:, 3 + side] + FOREARM * _down(
            shoulder + elbow, sign * aside * 0.5
        )
    return _seen(joints, at, kind in ("walk", "run"), rng)


def _down(angle: Array, aside: Array | float = 0.0) -> Array:
    """Directions of limbs that hang, turned forward and aside, in radians."""
    return np.stack(
        [np.sin(aside) * np.ones_like(angle), -np.cos(angle) * np.cos(aside), np.sin(angle)], -1
    )


def _wander(at: Array, size: float, rng: Random) -> Array:
    """A smooth random course about 0."""
    waves = rng.uniform(0.1, 1.2, (4, 1)), rng.uniform(0, 2 * np.pi, (4, 1))
    return size / 2 * np.sin(2 * np.pi * waves[0] * at + waves[1]).sum(0)


def _seen(joints: Array, at: Array, moves: bool, rng: Random) -> Array:
    """From any side, by a camera that is level or a little above; some turn as they go."""
    turn = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4) * at * (rng.random() < 0.4)
    pitch = rng.normal(0.1, 0.1)
    x = joints[..., 0] * np.cos(turn)[..., None] + joints[..., 2] * np.sin(turn)[..., None]
    z = joints[..., 2] * np.cos(turn)[..., None] - joints[..., 0] * np.sin(turn)[..., None]
    y = joints[..., 1] * np.cos(pitch) - z * np.sin(pitch)
    flat = rng.uniform(100, 400) * np.stack([x, -y], -1)
    speed = rng.uniform(-150, 150) * moves * (rng.random() < 0.7)
    flat[..., 0] += speed * at[:, None]
    return flat * (1 + rng.normal(0, 0.1) * moves * at / at[-1])[:, None, None] + 300


def _poses(file: Path) -> list[Array]:
    """(13, 3) of the people of training photos whose joints were nearly all found."""
    with np.load(file, allow_pickle=False) as data:
        points, split, photo = data["keypoints"], data["split"], data["photo"]
        points = points[split[photo] != "val"]
    whole = (points[..., 2] >= SEEN).mean(1) > 0.85
    return list(convert(points[whole], "coco17", "penn13").astype(np.float64))


def _held(pose: Array, frames: int, rng: Random) -> tuple[Array, Array]:
    size = np.ptp(pose[:, :2], axis=0).max()
    drift = np.cumsum(rng.normal(0, 0.004 * size, (frames, 1, 2)), 0)
    return pose[None, :, :2] + drift, np.repeat(_marks(pose)[None], frames, 0)


def _between(first: Array, last: Array, frames: int, rng: Random) -> tuple[Array, Array]:
    """From one pose into another of about the same size and place."""
    sizes = [np.ptp(pose[:, :2], axis=0).max() for pose in (first, last)]
    there = (last[:, :2] - last[:, :2].mean(0)) * sizes[0] / sizes[1] + first[:, :2].mean(0)
    start, stop = np.sort(rng.uniform(0, 1, 2))
    share = np.clip((np.linspace(0, 1, frames) - start) / (stop - start + 0.1), 0, 1)
    share = (share**2 * (3 - 2 * share))[:, None, None]
    scores = np.where(share[..., 0] < 0.5, _marks(first), _marks(last))
    return first[None, :, :2] * (1 - share) + there * share, scores


def _marks(pose: Array) -> Array:
    return np.where(pose[:, 2] >= SEEN, 1.0, np.where(pose[:, 2] > 0, UNCERTAIN, 0.0))
