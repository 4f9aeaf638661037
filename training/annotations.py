"""The teacher's key points as COCO annotations, so that `keyact pose-eval` judges by them.

    python -m training.annotations --dataset sports18 --split val --out work/sports18_val.json
    keyact pose-eval --ann work/sports18_val.json --images ../shared/data/sports18 --pose NAME

For backends that live in environments of their own, without Keras: the same crops, the same
figures as :mod:`training.fastpose_m.evaluate` gives.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from keyact.replacing import replacing
from training.fastpose_m.data import MIN_MEAN_SCORE

BELIEVED = 0.3  # teacher's score from which its joint counts


def annotations(table: dict[str, np.ndarray], split: str, limit: int | None) -> dict[str, list]:
    """COCO's ``images`` and ``annotations`` of the photos of a split, the first ``limit``."""
    photos = np.flatnonzero(table["split"] == split)[:limit]
    people = []
    for row in np.flatnonzero(np.isin(table["photo"], photos)):
        points = table["keypoints"][row]
        if not np.nan_to_num(points[:, 2]).mean() >= MIN_MEAN_SCORE:
            continue
        x1, y1, x2, y2 = table["boxes"][row].tolist()
        flags = np.where(points[:, 2] >= BELIEVED, 2, 0)
        people.append(
            {
                "id": len(people) + 1,
                "image_id": int(table["photo"][row]),
                "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "keypoints": np.column_stack([points[:, :2], flags]).ravel().tolist(),
            }
        )
    images = [{"id": int(i), "file_name": str(table["paths"][i])} for i in photos]
    return {"images": images, "annotations": people}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--dataset", default="sports18")
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, help="photos; all by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    table = dict(np.load(args.labels / f"{args.dataset}.npz"))
    written = annotations(table, args.split, args.limit)
    with replacing(args.out) as part:
        part.write_text(json.dumps(written))
    print(f"{args.out}: {len(written['annotations'])} people of {len(written['images'])} photos")


if __name__ == "__main__":
    main()
