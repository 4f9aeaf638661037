"""AlphaPose's person crops, pixel by pixel: bilinear through three single-precision points.

Unlike `keyact.pose.crop`: nothing is averaged where a crop shrinks the photo, and the centre of
the box goes to (W / 2, H / 2), where keyact takes ((W - 1) / 2, (H - 1) / 2). Bilinear
interpolation rounds to 1/32 pixel, so what is rounded to float32 on the way, and where, decides on
a grey level here and there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.pose.crop import MIN_SIDE, as_boxes, crop_people

MAX_SIDE = 2**15 - 2  # cv2.warpAffine takes no longer photo

Single = NDArray[np.float32]


def crop_frames(
    boxes: ArrayLike, input_size: tuple[int, int], margin: float
) -> tuple[Single, Single]:
    """Centre and width of each box's crop: the box, padded to the aspect, times the margin.

    Parameters
    ----------
    boxes : (N, 4) xyxy in photo pixels.
    input_size : ``(H, W)`` of the network input.
    margin : side of the crop over the side of the aspect-padded box.

    Returns
    -------
    centres (N, 2) and widths (N,), float32 in photo pixels.

    Raises
    ------
    ValueError : as `keyact.pose.crop.as_boxes`.
    """
    corners = as_boxes(boxes).astype(np.float32)
    sides = corners[:, 2:] - corners[:, :2]
    centres = corners[:, :2] + sides * np.float32(0.5)
    sides = np.maximum(sides, np.float32(MIN_SIDE))
    aspect = np.float32(input_size[1] / input_size[0])
    widths = np.maximum(sides[:, 0], sides[:, 1] * aspect)
    return centres, widths * np.float32(margin)


def crop(
    image: NDArray[np.uint8], centre: Single, width: np.float32, input_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """One crop (H, W, 3) of `crop_frames`, black outside the photo."""
    columns, rows = input_size[1], input_size[0]
    zoom = columns / float(width)
    left, top = (
        float(c) - side / 2 / zoom for c, side in zip(centre, (columns, rows), strict=True)
    )
    right, bottom = left + columns / zoom, top + rows / zoom
    if left >= image.shape[1] or top >= image.shape[0] or right <= -1 or bottom <= -1:
        return np.zeros((rows, columns, 3), np.uint8)
    if max(image.shape[:2]) > MAX_SIDE:
        transform = np.array([[zoom, left, top]])
        return np.asarray(crop_people(image, transform, input_size)[0], np.uint8)
    there = np.zeros((3, 2), np.float32)
    here = np.zeros((3, 2), np.float32)
    for points, middle, half in (
        (there, centre, float(width) / 2),
        (here, (columns / 2, rows / 2), columns / 2),
    ):
        # The middle, half a width above it, and the corner that makes a right angle.
        points[0] = middle
        points[1] = points[0] - np.array([0, half])
        up = points[0] - points[1]
        points[2] = points[1] + np.array([-up[1], up[0]], np.float32)
    matrix = cv2.getAffineTransform(there, here)
    made = cv2.warpAffine(image, matrix, (columns, rows), flags=cv2.INTER_LINEAR)
    return np.asarray(made, np.uint8)
