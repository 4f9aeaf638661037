"""One training sample of a photo: moved, mirrored, coloured and hidden, the key points with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from keyact.action.keypoint_fusion import JOINTS
from keyact.layouts import get_layout
from keyact.pose.crop import crop_transforms
from keyact.train.config import Augment
from keyact.train.degrade import degraded
from keyact.train.rand_augment import rand_augment

Image = NDArray[np.uint8]
Points = NDArray[np.float32]
Matrix = NDArray[np.float64]

PHOTO_ALONE = -1


class Sample(NamedTuple):
    """``context`` and ``crop`` (S, S, 3) RGB, ``keypoints`` (17, 3) in crop pixels, and the row
    of the person they show, or `PHOTO_ALONE`."""

    context: Image
    crop: Image
    keypoints: Points
    person: int


def augmented(
    image: Image,
    boxes: NDArray[np.floating[Any]],
    keypoints: NDArray[np.floating[Any]],
    size: int,
    margin: float,
    settings: Augment,
    rng: np.random.Generator,
) -> Sample:
    """A random view of a photo and of one of its people.

    Parameters
    ----------
    image : (H, W, 3) BGR.
    boxes : (N, 4) xyxy and ``keypoints`` (N, 17, 3), in photo pixels.
    size : side of photo and crop in pixels.
    margin : side of the crop over the longer side of the box.
    """
    context = _warp(image, _window(image, size, settings, rng), size)
    people = len(boxes)
    if people == 0 or rng.random() < settings.no_person:
        who = PHOTO_ALONE
        crop, points = context.copy(), np.zeros((JOINTS, 3), np.float32)
    else:
        who = int(rng.integers(people))
        matrix = _around(np.array(boxes[who], np.float64), size, margin, settings, rng)
        crop = _warp(image, matrix, size)
        points = _shaken(_moved(keypoints[who], matrix), settings, rng)
    if rng.random() < settings.flip:
        context, crop = context[:, ::-1], crop[:, ::-1]
        points = points if who == PHOTO_ALONE else mirrored(points, size)
    context, crop = _coloured((context, crop), settings, rng)
    if settings.rand_ops:
        context, _ = rand_augment(context, np.zeros((0, 3), np.float32), settings, rng)
        crop, points = rand_augment(crop, points, settings, rng)
    if settings.degrade and rng.random() < settings.degrade:
        context, crop = degraded((context, crop), rng)
    for picture in (context, crop):
        if rng.random() < settings.erase:
            height, width = (rng.integers(20, 90, 2) * size / 224).astype(int)
            y, x = rng.integers(0, size - height), rng.integers(0, size - width)
            picture[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return Sample(context, crop, points, who)


def mirrored(points: Points, size: int) -> Points:
    """Key points (..., 17, 3) of the mirrored crop: left joints become right ones."""
    swapped = points[..., _SWAP, :].copy()
    swapped[..., 0] = size - 1 - swapped[..., 0]
    return swapped


def square(box: NDArray[np.floating[Any]], size: int, margin: float) -> Matrix:
    """(2, 3) affine from photo pixels to the square crop round a box (4,)."""
    zoom, left, top = crop_transforms(box[None], (size, size), margin)[0]
    return np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])


def _swap() -> NDArray[np.intp]:
    order = np.arange(JOINTS)
    for left, right in get_layout("coco17").pairs:
        order[[left, right]] = right, left
    return order


_SWAP = _swap()


def _window(image: Image, size: int, settings: Augment, rng: np.random.Generator) -> Matrix:
    """Affine from the photo to a random part of it."""
    h, w = image.shape[:2]
    area = rng.uniform(settings.area, 1.0)
    ratio = np.exp(rng.uniform(-settings.aspect, settings.aspect))
    cw, ch = min(w, w * np.sqrt(area) * ratio), min(h, h * np.sqrt(area) / ratio)
    left, top = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
    return np.array([[size / cw, 0, -left * size / cw], [0, size / ch, -top * size / ch]])


def _around(
    box: Matrix, size: int, margin: float, settings: Augment, rng: np.random.Generator
) -> Matrix:
    """Affine from the photo to a shifted, zoomed and turned crop of a person."""
    side = max(box[2:] - box[:2])
    box = box + np.tile(rng.normal(0, settings.shift, 2), 2) * side
    # Wider more than narrower: a joint outside the crop says less than a small one.
    zoom = float(np.exp(rng.uniform(-settings.zoom * 5 / 6, settings.zoom)))
    matrix = square(box, size, margin * zoom)
    limit = 2.5 * settings.rotate
    turn = np.deg2rad(np.clip(rng.normal(0, settings.rotate), -limit, limit))
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = (size - 1) / 2
    shifted = spin @ (matrix[:, 2] - middle) + middle
    return np.concatenate([spin @ matrix[:, :2], shifted[:, None]], 1)


def _warp(image: Image, matrix: Matrix, size: int) -> Image:
    """The RGB crop, black outside the photo."""
    return np.asarray(cv2.warpAffine(image, matrix, (size, size))[:, :, ::-1], np.uint8)


def _moved(keypoints: NDArray[np.floating[Any]], matrix: Matrix) -> Points:
    xy = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([xy, keypoints[:, 2:]], 1).astype(np.float32)


def _shaken(points: Points, settings: Augment, rng: np.random.Generator) -> Points:
    """Key points as a worse estimator would give them."""
    points[:, :2] += rng.normal(0, settings.joint_noise, (JOINTS, 2))
    if rng.random() < settings.pose_drop:
        points[:, 2] = 0
    else:
        points[rng.random(JOINTS) < settings.joint_drop, 2] = 0
    return points


def _coloured(
    pictures: tuple[Image, Image], settings: Augment, rng: np.random.Generator
) -> tuple[Image, Image]:
    """The same gain, tint, offset and greyness for both."""
    much = settings.colour
    gain = rng.uniform(1 - 0.35 * much, 1 + 0.4 * much)
    tint = rng.uniform(1 - 0.15 * much, 1 + 0.15 * much, 3)
    curve = np.arange(256)[:, None] * gain * tint + rng.uniform(-25 * much, 25 * much)
    table = np.clip(curve, 0, 255).astype(np.uint8)[None]
    grey = rng.random() < settings.grey
    done = []
    for picture in pictures:
        picture = np.asarray(cv2.LUT(np.ascontiguousarray(picture), table), np.uint8)
        if grey:
            flat = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            picture = np.asarray(cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB), np.uint8)
        done.append(picture)
    return done[0], done[1]
