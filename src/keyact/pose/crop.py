"""Aspect-preserving person crops, and the way back from heatmap cells to photo pixels.

Three frames meet here, all with **pixel centres at integer coordinates**:

photo
    ``(x, y)`` in pixels of the upright photo.
network input
    ``(u, v)`` in pixels of the ``(H, W)`` crop: ``u = (x - left) * zoom`` and
    ``v = (y - top) * zoom``. The centre of the box lands on the centre of the crop,
    ``((W - 1) / 2, (H - 1) / 2)``, so mirroring the photo mirrors the crop exactly.
heatmap
    cell ``(i, j)`` covers ``stride`` input pixels and sits at their middle:
    ``u = stride * i + (stride - 1) / 2`` (``4 * i + 1.5`` for stride 4).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

BORDER = 0
"""Black fills what lies outside the photo, as in AlphaPose; the networks are trained with it."""

MIN_SIDE = 1.0
"""Boxes are widened to at least this many photo pixels: a point still has a crop."""

MAX_COORDINATE = 1e7
"""Box coordinates are held to +-this; no photo reaches it and float64 stays exact."""


def as_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """Boxes (N, 4) xyxy, held to `MAX_COORDINATE`; N may be 0.

    Raises
    ------
    ValueError : boxes that are not (N, 4) or not finite.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError(f"boxes must be finite and of shape (N, 4), got shape {boxes.shape}")
    return boxes.clip(-MAX_COORDINATE, MAX_COORDINATE)


def crop_transforms(
    boxes: ArrayLike, input_size: tuple[int, int], margin: float = 1.25
) -> NDArray[np.float64]:
    """Place one crop per box: the box, padded to the network's aspect, times the margin.

    Parameters
    ----------
    boxes : (N, 4) xyxy in photo pixels; may leave the photo, may be empty (N = 0).
    input_size : ``(H, W)`` of the network input.
    margin : side of the crop over the side of the aspect-padded box.

    Returns
    -------
    (N, 3) float64: ``zoom`` (input pixels per photo pixel), ``left`` and ``top`` (the
    photo coordinates of input pixel (0, 0)).

    Raises
    ------
    ValueError : boxes that are not (N, 4) or not finite.
    """
    boxes = as_boxes(boxes)
    height, width = input_size
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], MIN_SIDE)
    zoom = np.minimum(width / sides[:, 0], height / sides[:, 1]) / margin
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.concatenate([zoom[:, None], centre - middle / zoom[:, None]], 1)


def crop_people(
    image: NDArray[np.uint8], transforms: NDArray[np.float64], input_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Cut the crops out of the photo.

    Bilinear; a crop that shrinks the photo more than twofold is first averaged over
    whole blocks of pixels, because bilinear sampling alone would alias. Outside the photo
    the crop is `BORDER`. Channels stay in the order of ``image``.

    Parameters
    ----------
    image : (h, w, 3) uint8.
    transforms : (N, 3) from `crop_transforms`.
    input_size : ``(H, W)`` of the network input.

    Returns
    -------
    (N, H, W, 3) uint8.
    """
    height, width = input_size
    crops = np.full((len(transforms), height, width, 3), BORDER, np.uint8)
    for crop, (zoom, left, top) in zip(crops, transforms, strict=True):
        block = max(1, int(1 / zoom))
        slack = 2 * block + 2  # so that interpolation never meets the cut's own edge
        x0, x1 = _span(left, (width - 1) / zoom, slack, image.shape[1])
        y0, y1 = _span(top, (height - 1) / zoom, slack, image.shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        part = image[y0:y1, x0:x1]
        block = min(block, *part.shape[:2])
        if block > 1:
            part = _average_blocks(part, block)
        shift = (block - 1) / 2  # the first averaged pixel sits in the middle of its block
        matrix = np.array(
            [
                [block * zoom, 0, (x0 + shift - left) * zoom],
                [0, block * zoom, (y0 + shift - top) * zoom],
            ]
        )
        cv2.warpAffine(
            part,
            matrix,
            (width, height),
            dst=crop,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(BORDER, BORDER, BORDER),
        )
    return crops


def _span(start: float, length: float, slack: int, limit: int) -> tuple[int, int]:
    """Whole pixels from ``start`` to ``start + length`` with slack, inside the photo."""
    first = int(np.floor(start)) - slack
    last = int(np.ceil(start + length)) + slack + 1
    return max(first, 0), min(last, limit)


def _average_blocks(part: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    height, width = part.shape[:2]
    padded = cv2.copyMakeBorder(
        part, 0, -height % block, 0, -width % block, cv2.BORDER_CONSTANT, value=(BORDER,) * 3
    )
    size = (padded.shape[1] // block, padded.shape[0] // block)
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)


def to_input(points: ArrayLike, transforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Photo pixels (N, K, 2) to input pixels (N, K, 2), one transform per person."""
    zoom, corner = transforms[:, None, :1], transforms[:, None, 1:]
    return (np.asarray(points, np.float64) - corner) * zoom


def to_photo(points: ArrayLike, transforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Input pixels (N, K, 2) to photo pixels (N, K, 2): the exact inverse of `to_input`."""
    zoom, corner = transforms[:, None, :1], transforms[:, None, 1:]
    return np.asarray(points, np.float64) / zoom + corner


def input_to_cells(points: ArrayLike, stride: float = 4) -> NDArray[np.float64]:
    """Input pixels to heatmap cells: ``(u - (stride - 1) / 2) / stride``."""
    return (np.asarray(points, np.float64) - (stride - 1) / 2) / stride


def cells_to_input(cells: ArrayLike, stride: float = 4) -> NDArray[np.float64]:
    """Heatmap cells to input pixels: ``stride * i + (stride - 1) / 2``."""
    return np.asarray(cells, np.float64) * stride + (stride - 1) / 2
