"""Label the training photos with the teachers: person boxes and COCO-17 keypoints.

    python -m training.label --shared ../shared --out work/labels --jobs 2

Writes one ``<dataset>.npz`` per dataset:
``paths`` (P,), ``split`` (P,), ``sizes`` (P, 2) width and height; one row per box:
``photo`` (N,) index into paths, ``boxes`` (N, 4) xyxy, ``scores`` (N,),
``keypoints`` (N, 17, 3) in pixels and ``spread`` (N, 17); keypoints are NaN for boxes
that are too small or too weak to be labelled.
"""

from __future__ import annotations

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from training.teachers import MoveNetThunder, YoloxNano

DATASETS = ("sports18", "yoga8", "exercises")
POSE_MIN_SCORE = 0.3
POSE_MIN_SIDE = 28  # px, shorter side of the box
POSE_MAX_PEOPLE = 6  # per photo, largest boxes first

_teachers: dict[str, object] = {}


def _init(weights: str) -> None:
    cv2.setNumThreads(1)
    _teachers["boxes"] = YoloxNano(Path(weights) / "yolox_nano_coco.onnx")
    _teachers["pose"] = MoveNetThunder(Path(weights) / "movenet_thunder_fp16.tflite")


def _label(path: str) -> dict[str, np.ndarray] | None:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        return None
    boxes, scores = _teachers["boxes"](image)  # type: ignore[operator]
    keypoints = np.full((len(boxes), 17, 3), np.nan, np.float32)
    spread = np.full((len(boxes), 17), np.nan, np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    fit = (scores >= POSE_MIN_SCORE) & (sides.min(1, initial=1e9) >= POSE_MIN_SIDE)
    largest = np.argsort(-sides.prod(1))
    for i in [i for i in largest if fit[i]][:POSE_MAX_PEOPLE]:
        keypoints[i], spread[i] = _teachers["pose"](image, boxes[i])  # type: ignore[operator]
    height, width = image.shape[:2]
    return {
        "size": np.array([width, height]),
        "boxes": boxes,
        "scores": scores,
        "keypoints": keypoints,
        "spread": spread,
    }


def label_dataset(name: str, shared: Path, out: Path, jobs: int) -> None:
    root = shared / "data" / name
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # The test photos are labelled by nobody: nothing may be learnt or chosen on them.
    rows = [row for row in rows if row.get("split", "train") != "test"]
    with ProcessPoolExecutor(jobs, initializer=_init, initargs=(str(shared / "weights"),)) as pool:
        found = list(pool.map(_label, [str(root / r["path"]) for r in rows], chunksize=16))
    kept = [(row, item) for row, item in zip(rows, found, strict=True) if item is not None]
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / f"{name}.npz",
        paths=np.array([row["path"] for row, _ in kept]),
        split=np.array([row.get("split", "train") for row, _ in kept]),
        sizes=np.stack([item["size"] for _, item in kept]),
        photo=np.concatenate([np.full(len(item["boxes"]), i) for i, (_, item) in enumerate(kept)]),
        **{
            key: np.concatenate([item[key] for _, item in kept])
            for key in ("boxes", "scores", "keypoints", "spread")
        },
    )
    n = sum(len(item["boxes"]) for _, item in kept)
    posed = sum(int(np.isfinite(item["keypoints"][:, 0, 0]).sum()) for _, item in kept)
    print(
        f"{name}: {len(kept)} photos, {len(rows) - len(kept)} unreadable, {n} boxes, {posed} poses"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("work/labels"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    args = parser.parse_args()
    for name in args.datasets:
        label_dataset(name, args.shared, args.out, args.jobs)


if __name__ == "__main__":
    main()
