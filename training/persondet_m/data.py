"""Photos with the teacher's boxes: mosaics, scale jitter, and what each cell should say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training import ahead
from training.persondet_m import model

SURE = 0.3  # teacher boxes above are people, those from .1 to here are neither yes nor no
REACH = 1.5  # cells this many strides round the centre of a box are asked to find it
LEVEL_LIMITS = {8: (0, 56), 16: (44, 120), 32: (96, 1e9)}  # sqrt(area), px; overlapping


@dataclass
class Photos:
    """Photos (BGR) and for each its teacher boxes (n, 4) and scores (n,)."""

    images: list[np.ndarray]
    boxes: list[np.ndarray]
    scores: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.images)


def load(labels: Path, shared: Path, datasets: dict[str, str]) -> Photos:
    images, boxes, scores = [], [], []
    for name, split in datasets.items():
        table = dict(np.load(labels / f"{name}.npz"))
        for i in np.flatnonzero(table["split"] == split):
            rows = table["photo"] == i
            path = shared / "data" / name / str(table["paths"][i])
            images.append(cv2.imread(str(path), cv2.IMREAD_COLOR))
            boxes.append(table["boxes"][rows])
            scores.append(table["scores"][rows])
    return Photos(images, boxes, scores)


def _paste(canvas, region, photos, i, rng, boxes, scores):
    """Photo i, scaled and shifted at random, into a region (x1, y1, x2, y2) of the canvas."""
    x1, y1, x2, y2 = region
    image = photos.images[i]
    h, w = image.shape[:2]
    fit = (
        min((x2 - x1) / w, (y2 - y1) / h)
        if rng.random() < 0.5
        else max((x2 - x1) / w, (y2 - y1) / h)
    )
    zoom = fit * float(np.exp(rng.uniform(-0.35, 0.35)))
    stretch = float(np.exp(rng.uniform(-0.12, 0.12)))
    zx, zy = zoom * stretch, zoom / stretch
    slack_x, slack_y = (x2 - x1) - w * zx, (y2 - y1) - h * zy
    left, top = x1 + slack_x * rng.random(), y1 + slack_y * rng.random()
    flip = rng.random() < 0.5
    source = image[:, ::-1] if flip else image
    matrix = np.array([[zx, 0, left - x1], [0, zy, top - y1]], np.float32)
    part = cv2.warpAffine(
        np.ascontiguousarray(source), matrix, (x2 - x1, y2 - y1), borderValue=(114, 114, 114)
    )[:, :, ::-1]
    if rng.random() < 0.8:
        gain = rng.uniform(0.7, 1.35) * rng.uniform(0.9, 1.1, 3)
        table = np.clip(np.arange(256)[:, None] * gain + rng.uniform(-20, 20), 0, 255)
        part = cv2.LUT(np.ascontiguousarray(part), table.astype(np.uint8)[None])
    canvas[y1:y2, x1:x2] = part
    found = photos.boxes[i].copy()
    if len(found) == 0:
        return
    if flip:
        found[:, [0, 2]] = w - found[:, [2, 0]]
    found = found * [zx, zy, zx, zy] + [left, top, left, top]
    area = (found[:, 2:] - found[:, :2]).prod(1)
    clipped = np.clip(found, [x1, y1, x1, y1], [x2, y2, x2, y2])
    left_over = (clipped[:, 2:] - clipped[:, :2]).clip(0).prod(1)
    score = np.where(left_over > 0.45 * area, photos.scores[i], np.minimum(photos.scores[i], 0.2))
    some = (left_over > 0.08 * area) & ((clipped[:, 2:] - clipped[:, :2]).min(1) > 4)
    boxes.append(clipped[some])
    scores.append(score[some])


def augmented(photos: Photos, size: int, rng: np.random.Generator):
    """RGB (S, S, 3), boxes (n, 4) and scores (n,)."""
    canvas = np.full((size, size, 3), 114, np.uint8)
    boxes: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    cut = [int(size * rng.uniform(0.35, 0.65)) for _ in range(2)]
    kind = rng.random()
    if kind < 0.35:
        regions = [(0, 0, size, size)]
    elif kind < 0.7:
        regions = [(0, 0, size, cut[1]), (0, cut[1], size, size)]
    else:
        x, y = cut
        regions = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
    for region in regions:
        _paste(canvas, region, photos, int(rng.integers(len(photos))), rng, boxes, scores)
    return (
        canvas,
        np.concatenate([np.zeros((0, 4)), *boxes]),
        np.concatenate([np.zeros(0), *scores]),
    )


def targets(boxes: np.ndarray, scores: np.ndarray, size: int):
    """For each cell: the box (M, 4) it should give, whether it should (M,), and whether the
    teacher is undecided there (M,)."""
    centres, strides = model.cells(size)
    goal = np.zeros((len(centres), 4), np.float32)
    positive = np.zeros(len(centres), np.float32)
    undecided = np.zeros(len(centres), np.float32)
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(1))  # small ones last: they win a cell
    for box, score in zip(boxes[order], scores[order], strict=True):
        inside = ((centres > box[:2]) & (centres < box[2:])).all(1)
        if score < SURE:
            undecided[inside & (positive == 0)] = 1
            continue
        side = float(np.sqrt((box[2:] - box[:2]).prod()))
        level = np.zeros(len(centres), bool)
        for stride, (low, high) in LEVEL_LIMITS.items():
            if low <= side < high:
                level |= strides[:, 0] == stride
        near = (np.abs(centres - (box[:2] + box[2:]) / 2) < REACH * strides).all(1)
        mine = inside & level & near
        if not mine.any():  # thinner than a cell: the nearest cell of its level
            far = np.abs(centres - (box[:2] + box[2:]) / 2).sum(1) + 1e6 * ~level
            mine = np.arange(len(centres)) == far.argmin()
        goal[mine], positive[mine], undecided[mine] = box, 1, 0
    return goal, positive, undecided


def batches(
    photos: Photos, size: int, batch: int, seed: int, start_step: int = 0, workers: int = 0
) -> Iterator[ahead.Batch]:
    """Endless augmented batches; the order depends on the seed and the step alone."""

    def make(step: int) -> ahead.Batch:
        rng = np.random.default_rng([seed, step])
        rows = []
        for _ in range(batch):
            image, boxes, scores = augmented(photos, size, rng)
            rows.append((image, *targets(boxes, scores, size)))
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    return ahead.ahead(make, start_step, workers)
