"""Photos with the people found in them, as (context, crop, keypoints, label) samples."""

from __future__ import annotations

import csv
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from keyact.action.keypoint_fusion import PHOTO_PEOPLE, largest, person_crops, whole_photo
from keyact.pose.crop import crop_transforms
from training.keypoint_fusion.model import JOINTS, SIZE
from training.teachers import FLIP_COCO17

CROP_MARGIN = 1.3  # side of the square crop over the longer side of the box
MAX_PEOPLE = PHOTO_PEOPLE  # per photo, in training too: the largest
NO_PERSON = 0.15  # share of training samples that see the photo alone


@dataclass
class Photos:
    """Photos (BGR), label indices, and per photo boxes (n, 4) and keypoints (n, 17, 3)."""

    images: list[np.ndarray]
    labels: np.ndarray
    boxes: list[np.ndarray]
    keypoints: list[np.ndarray]
    names: tuple[str, ...]
    paths: list[str]

    def __len__(self) -> int:
        return len(self.images)


def load(people: Path, shared: Path, split: str, dataset: str = "sports18") -> Photos:
    """``people``: an npz of training.label or training.keypoint_fusion.people."""
    table = dict(np.load(people))
    root = shared / "data" / dataset
    with (root / "manifest.csv").open(newline="") as file:
        label = {row["path"]: row["label"] for row in csv.DictReader(file)}
    names = tuple(sorted(set(label.values())))
    order = np.flatnonzero(table["split"] == split)
    images, boxes, keypoints = [], [], []
    posed = np.isfinite(table["keypoints"][:, 0, 0])
    rows_of: dict[int, list[int]] = {}
    for row in np.flatnonzero(posed):
        rows_of.setdefault(int(table["photo"][row]), []).append(int(row))
    for i in order:
        images.append(cv2.imread(str(root / str(table["paths"][i])), cv2.IMREAD_COLOR))
        rows = np.array(rows_of.get(int(i), []), int)
        box = table["boxes"][rows].reshape(-1, 4)
        biggest = largest(box, MAX_PEOPLE)
        boxes.append(box[biggest])
        keypoints.append(table["keypoints"][rows][biggest].reshape(-1, JOINTS, 3))
    paths = [str(table["paths"][i]) for i in order]
    labels = np.array([names.index(label[p]) for p in paths])
    return Photos(images, labels, boxes, keypoints, names, paths)


def square(box: np.ndarray, margin: float = CROP_MARGIN) -> np.ndarray:
    """(2, 3) affine from photo pixels to the SIZE x SIZE crop round a box."""
    zoom, left, top = crop_transforms(box[None], (SIZE, SIZE), margin)[0]
    return np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])


def warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The RGB crop, black outside the photo."""
    return cv2.warpAffine(image, matrix, (SIZE, SIZE))[:, :, ::-1]


def samples_of(photos: Photos, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every person of a photo, or the photo alone, as at inference: context, crops, keypoints."""
    image = photos.images[i]
    context = whole_photo(image, SIZE)[None]
    if len(photos.boxes[i]) == 0:
        return context, context, np.zeros((1, JOINTS, 3), np.float32)
    crops, points = person_crops(image, photos.boxes[i], photos.keypoints[i], SIZE, CROP_MARGIN)
    return np.repeat(context, len(crops), 0), crops, points


def move(keypoints: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    xy = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([xy, keypoints[:, 2:]], 1).astype(np.float32)


def augmented(photos: Photos, i: int, rng: np.random.Generator):
    """One training sample: context, crop (SIZE, SIZE, 3) RGB and keypoints (17, 3)."""
    image = photos.images[i]
    h, w = image.shape[:2]
    area, ratio = rng.uniform(0.45, 1.0), np.exp(rng.uniform(-0.25, 0.25))
    cw, ch = min(w, w * np.sqrt(area) * ratio), min(h, h * np.sqrt(area) / ratio)
    left, top = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
    matrix = np.array([[SIZE / cw, 0, -left * SIZE / cw], [0, SIZE / ch, -top * SIZE / ch]])
    context = warp(image, matrix)
    people = len(photos.boxes[i])
    if people == 0 or rng.random() < NO_PERSON:
        crop, points = context.copy(), np.zeros((JOINTS, 3), np.float32)
    else:
        who = int(rng.integers(people))
        box = photos.boxes[i][who].copy()
        side = max(box[2:] - box[:2])
        box += np.tile(rng.normal(0, 0.05, 2), 2) * side
        matrix = square(box, CROP_MARGIN * float(np.exp(rng.uniform(-0.25, 0.3))))
        turn = np.deg2rad(np.clip(rng.normal(0, 8), -20, 20))
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = (SIZE - 1) / 2
        matrix = np.concatenate(
            [spin @ matrix[:, :2], (spin @ (matrix[:, 2] - middle) + middle)[:, None]], 1
        )
        crop = warp(image, matrix)
        points = _shake(move(photos.keypoints[i][who], matrix), rng)
    if rng.random() < 0.5:
        context, crop = context[:, ::-1], crop[:, ::-1]
        points[:, 0] = SIZE - 1 - points[:, 0]
        points = points[FLIP_COCO17]
    context, crop = _colour(context, crop, rng)
    for picture in (context, crop):
        if rng.random() < 0.3:
            ph, pw = rng.integers(20, 90, 2)
            y, x = rng.integers(0, SIZE - ph), rng.integers(0, SIZE - pw)
            picture[y : y + ph, x : x + pw] = rng.integers(0, 256, 3)
    return context, crop, points


def _shake(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Key points as a worse estimator would give them."""
    points[:, :2] += rng.normal(0, 2.5, (JOINTS, 2))
    if rng.random() < 0.15:
        points[:, 2] = 0
    else:
        points[rng.random(JOINTS) < 0.07, 2] = 0
    return points


def _colour(context, crop, rng):
    table = np.arange(256)[:, None] * rng.uniform(0.65, 1.4) * rng.uniform(0.85, 1.15, 3)
    table = np.clip(table + rng.uniform(-25, 25), 0, 255).astype(np.uint8)[None]
    grey = rng.random() < 0.12
    pictures = []
    for picture in (context, crop):
        picture = cv2.LUT(np.ascontiguousarray(picture), table)
        if grey:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        pictures.append(picture)
    return pictures


def batches(
    photos: Photos, size: int, seed: int, start_step: int = 0
) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless augmented batches, each photo once per round; the order depends on the seed alone."""
    ready: queue.Queue = queue.Queue(maxsize=6)
    per_round = len(photos) // size

    def work() -> None:
        step = start_step
        while True:
            turn, place = divmod(step, per_round)
            order = np.random.default_rng([seed, turn]).permutation(len(photos))
            rng = np.random.default_rng([seed, turn, place])
            chosen = order[place * size : (place + 1) * size]
            rows = [augmented(photos, int(i), rng) for i in chosen]
            ready.put((*(np.stack(c) for c in zip(*rows, strict=True)), photos.labels[chosen]))
            step += 1

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield ready.get()
