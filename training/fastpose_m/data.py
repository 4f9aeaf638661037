"""Person crops with teacher keypoints, strongly augmented."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training import ahead
from training.teachers import FLIP_COCO17

MIN_MEAN_SCORE = 0.25  # poses that the teacher does not believe are left out
BOX_MARGIN = 1.25
LYING = 0.2
"""Share of the crops that are turned until the person lies, which few do in photos."""
LYING_TURN = np.deg2rad(50), np.deg2rad(130)
UPPER, LOWER = np.arange(0, 11), np.arange(11, 17)


@dataclass
class Crops:
    """Labelled people: photos (list of BGR), photo index, boxes, keypoints, spread."""

    photos: list[np.ndarray]
    photo: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray
    spread: np.ndarray

    def __len__(self) -> int:
        return len(self.photo)


def load(labels: Path, shared: Path, datasets: dict[str, str]) -> Crops:
    """People of the photos whose dataset and split are asked for, e.g. {"sports18": "train"}."""
    photos: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] = {k: [] for k in ("photo", "boxes", "keypoints", "spread")}
    for name, split in datasets.items():
        table = np.load(labels / f"{name}.npz")
        with np.errstate(invalid="ignore"):
            good = table["keypoints"][..., 2].mean(1) >= MIN_MEAN_SCORE
        good &= (table["split"] == split)[table["photo"]]
        used = np.unique(table["photo"][good])
        place = np.full(len(table["paths"]), -1)
        place[used] = np.arange(len(used)) + len(photos)
        root = shared / "data" / name
        photos += [cv2.imread(str(root / p), cv2.IMREAD_COLOR) for p in table["paths"][used]]
        parts["photo"].append(place[table["photo"][good]])
        for key in ("boxes", "keypoints", "spread"):
            parts[key].append(table[key][good])
    return Crops(photos, **{key: np.concatenate(value) for key, value in parts.items()})


def crop_matrix(
    box: np.ndarray, height: int, width: int, margin: float, turn: float = 0.0, shift=(0.0, 0.0)
) -> np.ndarray:
    """(2, 3) affine from photo to crop pixels; pixel centres are integers in both."""
    x1, y1, x2, y2 = box
    zoom = min(width / ((x2 - x1) * margin), height / ((y2 - y1) * margin))
    cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
    cx, cy = (x1 + x2) / 2 + shift[0], (y1 + y2) / 2 + shift[1]
    rotation = np.array([[cos, -sin], [sin, cos]])
    offset = np.array([(width - 1) / 2, (height - 1) / 2]) - rotation @ [cx - 0.5, cy - 0.5]
    return np.concatenate([rotation, offset[:, None]], 1)


def plain_sample(crops: Crops, i: int, height: int, width: int):
    matrix = crop_matrix(crops.boxes[i], height, width, BOX_MARGIN)
    image = cv2.warpAffine(crops.photos[crops.photo[i]], matrix, (width, height))
    return image[:, :, ::-1], matrix


def augmented_sample(
    crops: Crops,
    i: int,
    height: int,
    width: int,
    rng: np.random.Generator,
    lying: float = LYING,
):
    """One crop: RGB uint8 (H, W, 3), xy (17, 2) in crop pixels, score (17,) and spread in px."""
    box, points = crops.boxes[i].copy(), crops.keypoints[i].copy()
    if rng.random() < 0.15:
        box = _half_body(box, points, rng)
    longer = float(max(box[2:] - box[:2]))
    turn = np.deg2rad(np.clip(rng.normal(0, 18), -40, 40)) if rng.random() < 0.4 else 0.0
    if rng.random() < lying:
        turn = rng.uniform(*LYING_TURN) * rng.choice((-1, 1))
        box = _turned(box, turn)
    margin = BOX_MARGIN * float(np.exp(np.clip(rng.normal(0, 0.18), -0.4, 0.4)))
    shift = rng.normal(0, 0.05, 2) * longer
    matrix = crop_matrix(box, height, width, margin, turn, shift)
    zoom = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    photo = crops.photos[crops.photo[i]]
    image = cv2.warpAffine(photo, matrix, (width, height))[:, :, ::-1]
    xy = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    score, spread = points[:, 2].copy(), crops.spread[i] * zoom * longer
    if rng.random() < 0.5:
        image = image[:, ::-1]
        xy[:, 0] = width - 1 - xy[:, 0]
        xy, score, spread = xy[FLIP_COCO17], score[FLIP_COCO17], spread[FLIP_COCO17]
    image = _colour(np.ascontiguousarray(image), rng)
    if rng.random() < 0.25:
        _occlude(image, xy, score, crops, rng)
    return image, xy, score, spread


def _turned(box: np.ndarray, turn: float) -> np.ndarray:
    """The box with the sides of what holds it when it is turned."""
    cos, sin = abs(np.cos(turn)), abs(np.sin(turn))
    side = box[2:] - box[:2]
    side = np.array([cos * side[0] + sin * side[1], sin * side[0] + cos * side[1]])
    middle = (box[:2] + box[2:]) / 2
    return np.concatenate([middle - side / 2, middle + side / 2])


def lying(crops: Crops) -> Crops:
    """The same people in photos turned by 90° to the left."""
    widths = np.array([photo.shape[1] for photo in crops.photos])[crops.photo]
    x1, y1, x2, y2 = crops.boxes.T
    keypoints = crops.keypoints.copy()
    keypoints[..., 0] = crops.keypoints[..., 1]
    keypoints[..., 1] = widths[:, None] - 1 - crops.keypoints[..., 0]
    return Crops(
        [np.ascontiguousarray(np.rot90(photo)) for photo in crops.photos],
        crops.photo,
        np.stack([y1, widths - x2, y2, widths - x1], 1),
        keypoints,
        crops.spread,
    )


def _half_body(box, points, rng):
    part = UPPER if rng.random() < 0.6 else LOWER
    seen = part[points[part, 2] > 0.3]
    if len(seen) < 4:
        return box
    low, high = points[seen, :2].min(0), points[seen, :2].max(0)
    side = np.maximum(high - low, 0.25 * max(box[2:] - box[:2]))
    middle = (low + high) / 2
    return np.concatenate([middle - 0.6 * side, middle + 0.6 * side])


def _colour(image, rng):
    if rng.random() < 0.6:
        gain = rng.uniform(0.65, 1.4) * rng.uniform(0.85, 1.15, 3)
        offset = rng.uniform(-25, 25)
        table = np.clip(np.arange(256)[:, None] * gain + offset, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table[None])
    if rng.random() < 0.1:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.2:  # people far away: few pixels
        factor, (h, w) = rng.uniform(0.25, 0.7), image.shape[:2]
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (w, h))
    return image


def _occlude(image, xy, score, crops, rng):
    h, w = image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        ph, pw = int(h * rng.uniform(0.08, 0.3)), int(w * rng.uniform(0.08, 0.4))
        top, left = rng.integers(0, h - ph), rng.integers(0, w - pw)
        if rng.random() < 0.5:
            patch = rng.integers(0, 256, 3)
        else:
            other = crops.photos[rng.integers(len(crops.photos))]
            oy = rng.integers(0, max(other.shape[0] - ph, 1))
            ox = rng.integers(0, max(other.shape[1] - pw, 1))
            patch = cv2.resize(other[oy : oy + ph, ox : ox + pw], (pw, ph))
        image[top : top + ph, left : left + pw] = patch
        hidden = (xy[:, 0] > left) & (xy[:, 0] < left + pw)
        hidden &= (xy[:, 1] > top) & (xy[:, 1] < top + ph)
        score[hidden] *= 0.6  # a hidden joint can be guessed, but not with full confidence


def batches(
    crops: Crops,
    size: int,
    height: int,
    width: int,
    seed: int,
    start_step: int = 0,
    workers: int = 0,
    lying: float = LYING,
) -> Iterator[ahead.Batch]:
    """Endless augmented batches; the seed and the step tell all of them.

    A batch: images (N, H, W, 3) RGB uint8, xy (N, 17, 2), score and spread (N, 17).
    """

    def make(step: int) -> ahead.Batch:
        rng = np.random.default_rng([seed, step])
        samples = [
            augmented_sample(crops, int(i), height, width, rng, lying)
            for i in rng.integers(len(crops), size=size)
        ]
        image, *labels = (np.stack(column) for column in zip(*samples, strict=True))
        return image, *(label.astype(np.float32) for label in labels)

    return ahead.ahead(make, start_step, workers)
