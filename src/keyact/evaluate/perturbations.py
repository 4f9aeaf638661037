"""What is done to photos and key points to see how a model bears it.

A `Perturbation` has five severities. Those of the family ``"corruption"`` are the 15 of ImageNet-C
(Hendrycks and Dietterich, ICLR 2019) as imagecorruptions-imaug makes them; ``"occlusion"`` hides a
part of the largest person; ``"keypoints"`` change the key points and leave the photo alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keyact.errors import KeyactError
from keyact.layouts import get_layout

Image: TypeAlias = NDArray[np.uint8]
Family: TypeAlias = Literal["corruption", "occlusion", "keypoints"]
Boxes: TypeAlias = NDArray[np.float32]
Poses: TypeAlias = NDArray[np.float32]

SEVERITIES = (1, 2, 3, 4, 5)
CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise",
    "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness",
    "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
MIN_SIDE = 32  # pixels: under it the corruptions are not defined

HIDDEN = (0.1, 0.2, 0.3, 0.4, 0.5)  # share of the person's box, or of the photo, by severity
JITTER = (0.01, 0.02, 0.04, 0.06, 0.1)  # standard deviation over the box's longer side
DROPPED = (0.1, 0.25, 0.5, 0.75, 1.0)  # probability of each joint
SWAPPED = (0.2, 0.4, 0.6, 0.8, 1.0)  # probability of each person; 1 exchanges all left and right
STRANGER = (0.2, 0.4, 0.6, 0.8, 1.0)  # probability of each person to get another photo's pose


@dataclass(frozen=True)
class Perturbation:
    """One way to make a model's work harder, at severities 1 to 5."""

    name: str
    family: Family


PERTURBATIONS: dict[str, Perturbation] = {
    **{name: Perturbation(name, "corruption") for name in CORRUPTIONS},
    "occlusion": Perturbation("occlusion", "occlusion"),
    **{
        name: Perturbation(name, "keypoints")
        for name in ("joint_jitter", "joint_dropout", "left_right_swap", "wrong_person")
    },
}
"""Name -> perturbation."""


def corrupt(image: Image, name: str, severity: int, seed: int) -> Image:
    """One of `CORRUPTIONS` on a photo.

    Parameters
    ----------
    image : (H, W, 3) uint8 BGR, sides of `MIN_SIDE` or more; it is not changed. The strength is
        set in pixels of photos of about 224 on the shorter side.
    severity : 1 to 5.
    seed : the same seed gives the same picture.

    Raises
    ------
    KeyactError : imagecorruptions is not installed.
    ValueError : a photo that is too small.
    """
    if min(image.shape[:2]) < MIN_SIDE:
        raise ValueError(f"corruptions need sides of {MIN_SIDE} pixels, got {image.shape[:2]}")
    library = corruption_library()
    # Two of the 15 take a seed of their own; the others draw from NumPy's global generator, whose
    # state is put back: a caller's random numbers must not depend on this.
    own: dict[str, int] = {"seed": seed} if name in ("impulse_noise", "glass_blur") else {}
    state = np.random.get_state()
    try:
        np.random.seed(seed)
        rgb = np.ascontiguousarray(image[..., ::-1])
        made = library.corrupt(rgb, corruption_name=name, severity=severity, **own)
    finally:
        np.random.set_state(state)
    return np.ascontiguousarray(made[..., ::-1], np.uint8)


def corruption_library() -> Any:
    """The module ``imagecorruptions``.

    Raises
    ------
    KeyactError : it is not installed; the message says what to type.
    """
    try:
        return importlib.import_module("imagecorruptions")
    except ImportError as error:
        raise KeyactError(
            f"the corruptions need imagecorruptions-imaug ({error}); type: python -m pip install "
            "'keyact[robustness]' && python -m pip install --no-deps imagecorruptions-imaug "
            "(--no-deps: it would bring a second OpenCV)"
        ) from None


def occlude(image: Image, boxes: Boxes, severity: int, rng: np.random.Generator) -> Image:
    """Hide a part of the largest person, or of the photo if there is nobody, behind grey.

    Parameters
    ----------
    image : (H, W, 3) uint8 BGR.
    boxes : (N, 4) xyxy of the people.
    severity : 1 to 5, the share of `HIDDEN` that is covered: one rectangle of the box's shape.
    """
    height, width = image.shape[:2]
    box = np.array([0, 0, width, height], np.float64)
    if len(boxes):
        sides = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        box = boxes[int(sides.argmax())].astype(np.float64)
        box = box.clip(0, (width, height, width, height))
    size = (box[2:] - box[:2]) * np.sqrt(HIDDEN[severity - 1])
    start = box[:2] + rng.random(2) * (box[2:] - box[:2] - size)
    (left, top), (right, bottom) = start.round().astype(int), (start + size).round().astype(int)
    hidden = image.copy()
    hidden[top:bottom, left:right] = 127
    return hidden


def disturb(
    name: str,
    severity: int,
    boxes: Boxes,
    keypoints: Poses,
    strangers: Poses,
    rng: np.random.Generator,
) -> Poses:
    """Key points as a worse estimator, or one that mixes people up, would give them.

    Parameters
    ----------
    name : of the family ``"keypoints"``.
    boxes : (N, 4) xyxy of the people, in photo pixels.
    keypoints : (N, 17, 3) theirs; not changed.
    strangers : (M, 17, 3) poses of other photos, x and y within their boxes, 0 to 1; M may be 0,
        then ``wrong_person`` changes nothing.
    """
    points = np.array(keypoints, np.float32)
    if len(points) == 0:
        return points
    return _DISTURBANCES[name](points, np.asarray(boxes, np.float32), severity - 1, strangers, rng)


def within_boxes(boxes: Boxes, keypoints: Poses) -> Poses:
    """Key points (N, 17, 3) with x and y as shares of their boxes (N, 4)."""
    points = np.array(keypoints, np.float32)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    points[..., :2] = (points[..., :2] - boxes[:, None, :2]) / sides[:, None]
    return points


def _jitter(points: Poses, boxes: Boxes, level: int, _: Poses, rng: np.random.Generator) -> Poses:
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
    noise = rng.normal(0, JITTER[level], points[..., :2].shape) * longer[:, None, None]
    points[..., :2] += noise.astype(np.float32)
    return points


def _drop(points: Poses, _: Boxes, level: int, __: Poses, rng: np.random.Generator) -> Poses:
    points[rng.random(points.shape[:2]) < DROPPED[level], 2] = 0
    return points


def _swap(points: Poses, _: Boxes, level: int, __: Poses, rng: np.random.Generator) -> Poses:
    chosen = rng.random(len(points)) < SWAPPED[level]
    points[chosen] = points[chosen][:, get_layout("coco17").flip]
    return points


def _stranger(
    points: Poses, boxes: Boxes, level: int, strangers: Poses, rng: np.random.Generator
) -> Poses:
    chosen = np.flatnonzero(rng.random(len(points)) < STRANGER[level])
    if len(strangers) == 0:
        return points
    for i in chosen:
        pose = strangers[rng.integers(len(strangers))]
        points[i, :, :2] = boxes[i, :2] + pose[:, :2] * (boxes[i, 2:] - boxes[i, :2])
        points[i, :, 2] = pose[:, 2]
    return points


_DISTURBANCES: dict[str, Callable[[Poses, Boxes, int, Poses, np.random.Generator], Poses]] = {
    "joint_jitter": _jitter,
    "joint_dropout": _drop,
    "left_right_swap": _swap,
    "wrong_person": _stranger,
}
