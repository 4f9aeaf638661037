"""Clips of a red person with dots for joints, who holds something, and networks that see them."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from onnx_models import DOT_COLOURS, JOINT_COLOUR, make_detector, make_pose

SIZE = (96, 128)  # height, width
FPS = 10
_AT = np.array(  # x and y of coco17's joints on a body of 1 x 1; left joints on the right
    [
        [0.5, 0.1], [0.6, 0.1], [0.4, 0.1], [0.68, 0.12], [0.32, 0.12], [0.75, 0.28], [0.25, 0.28],
        [0.85, 0.45], [0.15, 0.45], [0.85, 0.62], [0.15, 0.62], [0.65, 0.6], [0.35, 0.6],
        [0.65, 0.77], [0.35, 0.77], [0.65, 0.94], [0.35, 0.94],
    ]
)  # fmt: skip


def make_networks(folder: Path) -> dict[str, str]:
    """Detector and pose network, as options by name."""
    make_detector(folder / "detector.onnx")
    make_pose(folder / "pose.onnx", 64, 48)
    return {"detector": str(folder / "detector.onnx"), "pose": str(folder / "pose.onnx")}


def joints_at(phase: float, wave: bool) -> np.ndarray:
    """(17, 2) of a body of 1 x 1; the hands go up and down, or hang."""
    at = _AT.copy()
    if wave:
        up = 0.5 * abs(np.sin(np.pi * phase))
        at[[9, 10], 1] -= up
        at[[7, 8], 1] -= 0.5 * up
    return at


def frame(phase: float, wave: bool, held: str | None, left: float, top: float) -> np.ndarray:
    """(H, W, 3) BGR; the person of 44 x 72 pixels stands there, a black box or a white ball in
    each hand."""
    image = np.full((*SIZE, 3), 200, np.uint8)
    origin, size = np.array([left, top]), np.array([44, 72])
    x, y = origin.astype(int)
    image[y : y + 72, x : x + 44] = (20, 20, 250)
    points = (origin + joints_at(phase, wave) * size).round().astype(int)
    for hand in (9, 10) if held else ():
        middle = points[hand] + ((17, 0) if hand == 9 else (-17, 0))  # beside the body
        if held == "box":
            cv2.rectangle(image, (middle - 9).tolist(), (middle + 9).tolist(), (0, 0, 0), -1)
        else:
            cv2.circle(image, middle.tolist(), 9, (255, 255, 255), -1)
    for point, colour in zip(points, JOINT_COLOUR, strict=True):
        shade = tuple(int(v) for v in DOT_COLOURS[colour][::-1])
        cv2.circle(image, point.tolist(), 3, shade, -1)
    return image


def write_clip(
    path: Path, wave: bool, held: str | None = None, seed: int = 0, frames: int = 12
) -> Path:
    """A clip without loss; who waves, how fast and where follows from the seed."""
    rng = np.random.default_rng(seed)
    left, top, start = rng.uniform(25, 55), rng.uniform(8, 16), rng.uniform(0, 1)
    speed, drift = rng.uniform(0.9, 1.3), rng.uniform(-0.6, 0.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "bgr0"
        for number in range(frames):
            phase = start + speed * number / FPS
            pixels = frame(phase, wave, held, left + drift * number, top)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path
