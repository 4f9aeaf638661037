"""RandAugment (Cubuk et al., NeurIPS 2020) that moves the key points with the picture.

Each operation is drawn evenly from `OPERATIONS`; all have the strength ``rand_magnitude`` of 30,
those that have a direction either one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

from keyact.train.config import Augment

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]
Affine = NDArray[np.float64]
FILL = (128, 128, 128)


def _enhance(kind: Any) -> Callable[[Pillow.Image, float], Pillow.Image]:
    def enhance(picture: Pillow.Image, much: float) -> Pillow.Image:
        changed: Pillow.Image = kind(picture).enhance(1 + 0.9 * much)
        return changed

    return enhance


_COLOURS: dict[str, Callable[[Pillow.Image, float], Pillow.Image]] = {
    "auto-contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "solarize": lambda picture, much: ImageOps.solarize(picture, int(256 * (1 - abs(much)))),
    "posterize": lambda picture, much: ImageOps.posterize(picture, 8 - round(4 * abs(much))),
    "saturation": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
}


def _turn(much: float, size: int) -> Affine:
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), 30 * much, 1.0)
    return np.asarray(matrix, np.float64)


_MOVES: dict[str, Callable[[float, int], Affine]] = {
    "rotate": _turn,
    "shear-x": lambda much, s: np.array([[1, 0.3 * much, -0.15 * much * (s - 1)], [0, 1.0, 0]]),
    "shear-y": lambda much, s: np.array([[1.0, 0, 0], [0.3 * much, 1, -0.15 * much * (s - 1)]]),
    "shift-x": lambda much, s: np.array([[1.0, 0, 0.3 * much * s], [0, 1, 0]]),
    "shift-y": lambda much, s: np.array([[1.0, 0, 0], [0, 1, 0.3 * much * s]]),
}

OPERATIONS = ("identity", *_COLOURS, *_MOVES)


def rand_augment(
    picture: Picture, points: Points, settings: Augment, rng: np.random.Generator
) -> tuple[Picture, Points]:
    """A square RGB picture (S, S, 3) and points (K, 3) in it after ``rand_ops`` operations."""
    size = picture.shape[0]
    for name in rng.choice(OPERATIONS, settings.rand_ops):
        much = settings.rand_magnitude / 30 * float(rng.choice([-1.0, 1.0]))
        if name in _COLOURS:
            picture = np.array(_COLOURS[name](Pillow.fromarray(picture), much), np.uint8)
        elif name in _MOVES:
            matrix = _MOVES[name](much, size)
            warped = cv2.warpAffine(
                np.ascontiguousarray(picture), matrix, (size, size), borderValue=FILL
            )
            picture = np.asarray(warped, np.uint8)
            xy = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
            points = np.concatenate([xy, points[:, 2:]], 1).astype(np.float32)
    return np.ascontiguousarray(picture), points
