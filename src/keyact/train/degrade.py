"""What cameras and the web do to photos: noise, blur, low resolution, compression, haze.

One kind at a time, of a random strength. They are ours, not ImageNet-C's, but some are near
relatives (Rusak et al., ECCV 2020): robustness to noise and blur that was measured with those is
then not robustness to the unseen.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Rng = np.random.Generator


def degraded(pictures: tuple[Picture, ...], rng: Rng) -> tuple[Picture, ...]:
    """Square pictures (S, S, 3) of one photo, all spoilt in the same way and as much."""
    kind = KINDS[str(rng.choice(list(KINDS)))]
    much, way = rng.random(2)
    return tuple(kind(np.ascontiguousarray(p), float(much), float(way), rng) for p in pictures)


def _noise(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    spread = np.float32(5 + 55 * much)
    noise = rng.standard_normal(picture.shape, np.float32) * spread
    return _clipped(picture + noise)


def _impulses(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    share = 0.01 + 0.2 * much
    draw = rng.random(picture.shape, np.float32)
    spoilt = picture.copy()
    spoilt[draw < share / 2] = 0
    spoilt[draw > 1 - share / 2] = 255
    return spoilt


def _blur(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.5 + 3 * much), np.uint8)


def _shake(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    """Blur along a line, as of a moved camera; ``way`` is its direction."""
    length = 3 + round(14 * much)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    middle = ((length - 1) / 2, (length - 1) / 2)
    turn = cv2.getRotationMatrix2D(middle, 180 * way, 1.0)
    turned = np.asarray(cv2.warpAffine(line, turn, (length, length)), np.float32)
    return np.asarray(cv2.filter2D(picture, -1, turned / turned.sum()), np.uint8)


def _small(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    size = picture.shape[0]
    side = max(round(size / (1.5 + 3.5 * much)), 8)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    back = cv2.INTER_NEAREST if way < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(small, (size, size), interpolation=back), np.uint8)


def _jpeg(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(50 - 43 * much)])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _haze(picture: Picture, much: float, way: float, rng: Rng) -> Picture:
    """Less contrast, round a grey that ``way`` says."""
    keep = np.float32(0.9 - 0.65 * much)
    return _clipped(picture * keep + np.float32(40 + 180 * way) * (1 - keep))


def _clipped(picture: NDArray[np.float32]) -> Picture:
    return np.clip(picture, 0, 255).astype(np.uint8)


KINDS: dict[str, Callable[[Picture, float, float, Rng], Picture]] = {
    "noise": _noise,
    "impulses": _impulses,
    "blur": _blur,
    "shake": _shake,
    "low resolution": _small,
    "compression": _jpeg,
    "haze": _haze,
}
