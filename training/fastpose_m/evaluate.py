"""How well the network agrees with its teacher on held-out crops."""

from __future__ import annotations

import numpy as np
from keras import ops

from keyact.layouts import get_layout
from keyact.pose.annotations import AREA_OF_BOX
from keyact.pose.base import PoseEstimator
from keyact.pose.evaluation import similarity
from training.annotations import BELIEVED
from training.fastpose_m import data, model


def peaks(maps: np.ndarray) -> np.ndarray:
    """Expected cell in a 5x5 window round the maximum: (N, h, w, K) logits to (N, K, 2)."""
    n, h, w, k = maps.shape
    flat = maps.reshape(n, h * w, k)
    best = flat.argmax(1)
    prob = np.exp(flat - flat.max(1, keepdims=True)).reshape(n, h, w, k)
    y0, x0 = best // w, best % w
    total, sx, sy = 0.0, 0.0, 0.0
    rows, joints = np.arange(n)[:, None], np.arange(k)[None]
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            y, x = y0 + dy, x0 + dx
            ok = (y >= 0) & (y < h) & (x >= 0) & (x < w)
            p = prob[rows, y.clip(0, h - 1), x.clip(0, w - 1), joints] * ok
            total, sx, sy = total + p, sx + p * x, sy + p * y
    return np.stack([sx / total, sy / total], -1)


def against_teacher(
    net, crops: data.Crops, height: int, width: int, limit: int
) -> dict[str, object]:
    """:func:`agreement` of a network in training, on some of the crops."""
    order = some(crops, limit)
    found = []
    for start in range(0, len(order), 50):
        part = order[start : start + 50]
        samples = [data.plain_sample(crops, i, height, width) for i in part]
        image = np.stack([s[0] for s in samples]).astype(np.float32) / 127.5 - 1
        maps = ops.convert_to_numpy(net(image, training=False)["maps"])
        points = peaks(maps) * model.STRIDE + (model.STRIDE - 1) / 2
        for p, (_, matrix) in zip(points, samples, strict=True):
            back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
            found.append(p @ back[:2, :2].T + back[:2, 2])
    return agreement(np.stack(found), crops, order)


def of_backend(
    estimator: PoseEstimator, crops: data.Crops, limit: int | None = None
) -> dict[str, object]:
    """:func:`agreement` of a finished pose backend, as keyact runs it."""
    order = some(crops, limit)
    found = [estimator(crops.photos[crops.photo[i]], crops.boxes[i : i + 1])[0] for i in order]
    return agreement(np.stack(found)[..., :2], crops, order)


def some(crops: data.Crops, limit: int | None) -> np.ndarray:
    """All crops, or the same random ``limit`` of them each time."""
    order = np.arange(len(crops))
    if limit and limit < len(order):
        order = np.random.default_rng(0).choice(order, limit, replace=False)
    return order


def agreement(points: np.ndarray, crops: data.Crops, order: np.ndarray) -> dict[str, object]:
    """PCK at a tenth of the box's longer side and mean OKS, joints the teacher believes.

    ``points`` (n, 17, 2) in photo pixels, for the crops in ``order``.
    """
    truth = crops.keypoints[order]
    seen = truth[..., 2] >= BELIEVED
    sides = crops.boxes[order, 2:] - crops.boxes[order, :2]
    near = np.linalg.norm(points - truth[..., :2], axis=-1) < 0.1 * sides.max(1)[:, None]
    alike = similarity(points, truth, AREA_OF_BOX * sides.prod(1)) * seen
    oks = alike.sum(1) / np.maximum(seen.sum(1), 1)
    return {
        "pck@0.1": round(float(near[seen].mean()), 4),
        "oks": round(float(oks[seen.any(1)].mean()), 4),
        "crops": len(order),
        "pck_per_joint": {
            name: round(float(near[:, j][seen[:, j]].mean()), 3)
            for j, name in enumerate(get_layout("coco17").joints)
        },
    }
