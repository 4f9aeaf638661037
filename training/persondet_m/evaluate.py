"""Agreement with the teacher's boxes on held-out photos."""

from __future__ import annotations

import cv2
import numpy as np
from keras import ops

from keyact.detect.onnx_detector import letterbox
from training.persondet_m import data, model


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) overlaps of xyxy boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clip(0).prod(-1)
    area = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return both / (area[0][:, None] + area[1][None] - both + 1e-9)


def detect_all(predict, photos: data.Photos, size: int, nms_iou: float, floor: float = 0.02):
    """Boxes and scores per photo; ``predict`` maps RGB uint8 (n, S, S, 3) to boxes, scores."""
    found = []
    for start in range(0, len(photos), 32):
        images = photos.images[start : start + 32]
        fitted = [letterbox(image, size) for image in images]
        boxes, scores = predict(np.stack([canvas[:, :, ::-1] for canvas, _ in fitted]))
        for b, s, image, (_, zoom) in zip(boxes, scores, images, fitted, strict=True):
            h, w = image.shape[:2]
            keep = s > floor
            b, s = np.clip(b[keep] / (zoom * 2), 0, [w, h, w, h]), s[keep]
            xywh = np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], 1)
            kept = cv2.dnn.NMSBoxes(xywh.tolist(), s.tolist(), floor, nms_iou)
            kept = np.asarray(kept, int).reshape(-1)
            found.append((b[kept], s[kept]))
    return found


def agreement(
    found, photos: data.Photos, threshold: float, teacher: float = 0.5, area: float = 64**2,
    min_people: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Recall of the teacher's boxes (score >= teacher, larger than area) at IoU .5, and the
    share of our boxes (larger than area) that match some teacher box of score >= .3."""
    hit = wanted = right = given = 0
    for (boxes, scores), goal, sure in zip(found, photos.boxes, photos.scores, strict=True):
        if (sure >= teacher).sum() < min_people:
            continue
        boxes, scores = boxes[scores >= threshold], scores[scores >= threshold]
        big = (goal[:, 2:] - goal[:, :2]).prod(1) > area
        important = goal[big & (sure >= teacher)]
        overlap = iou(boxes, important)
        taken = np.zeros(len(important), bool)
        for row in overlap[np.argsort(-scores)]:
            row = np.where(taken, 0, row)
            if len(row) and row.max() >= 0.5:
                taken[row.argmax()] = True
        hit, wanted = hit + int(taken.sum()), wanted + len(important)
        ours = boxes[(boxes[:, 2:] - boxes[:, :2]).prod(1) > area]
        near = iou(ours, goal[sure >= 0.3])
        used = np.zeros(near.shape[1], bool)
        for row in near:  # one teacher box justifies one box of ours
            row = np.where(used, 0, row)
            if len(row) and row.max() >= 0.5:
                used[row.argmax()] = True
                right += 1
        given += len(ours)
    return {
        "recall": round(hit / max(wanted, 1), 4),
        "precision": round(right / max(given, 1), 4),
        "teacher_boxes": wanted,
    }


def best_threshold(found, photos: data.Photos, precision: float = 0.9) -> tuple[float, dict]:
    """The lowest score at which the precision is reached."""
    for threshold in np.arange(0.1, 0.9, 0.005):
        result = agreement(found, photos, float(threshold))
        if result["precision"] >= precision:
            break
    return round(float(threshold), 3), result


def report(found, photos: data.Photos, threshold: float) -> dict[str, object]:
    """Agreement at the shipped threshold: sizes, teacher thresholds, and photos with crowds."""
    return {
        "held-out photos": len(photos),
        "teacher >= .5, area > 64x64": agreement(found, photos, threshold),
        "teacher >= .3, area > 64x64": agreement(found, photos, threshold, teacher=0.3),
        "teacher >= .5, any area": agreement(found, photos, threshold, area=0),
        "photos with 5+ people, area > 64x64": agreement(found, photos, threshold, min_people=5),
        "photos with 5+ people, any area": agreement(
            found, photos, threshold, area=0, min_people=5
        ),
    }


def predictor(net, size: int):
    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        out = net(images.astype(np.float32) / 127.5 - 1, training=False)
        scores = ops.convert_to_numpy(ops.sigmoid(out["scores"]))
        return ops.convert_to_numpy(model.to_boxes(out["sides"], size)), scores

    return predict
