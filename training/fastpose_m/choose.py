"""Judge blends of FastPose-M's weights and sizes of its crop on held-out people, before an export.

    python -m training.fastpose_m.choose --run work/one work/two \
        --shares 0 0.5 1 --sizes 256x192 224x224 --csv results/fastpose_m_choices.csv

The network is convolutional: its weights fit every size whose sides are multiples of 32. A row
tells the agreement with the teacher of upright people and of the same people turned by 90°.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from training.fastpose_m import data, evaluate, model
from training.schedule import average

UPRIGHT, LYING = 600, 400  # crops
COLUMNS = ("size", "share", "oks", "pck@0.1", "oks_lying", "pck@0.1_lying")


def judge(
    size: str,
    start: Path,
    runs: list[Path],
    shares: list[float],
    upright: data.Crops,
    lying: data.Crops,
) -> list[dict[str, object]]:
    """One row per share of the runs' mean, the rest being ``start``."""
    height, width = model.sides(size)
    net = model.build(height, width)
    rows = []
    for share in shares:
        net.load_weights(start)
        average(net, runs if share else [], share)
        figures = []
        for crops, limit in ((upright, UPRIGHT), (lying, LYING)):
            found = evaluate.against_teacher(net, crops, height, width, limit)
            figures += [found["oks"], found["pck@0.1"]]
        rows.append(dict(zip(COLUMNS, [size, share, *figures], strict=True)))
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=Path, default=Path("work/inherited.weights.h5"))
    parser.add_argument("--run", nargs="*", type=Path, default=[])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0])
    parser.add_argument("--sizes", nargs="+", default=["224x224"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--csv", type=Path, help="write the rows here")
    args = parser.parse_args()
    held_out = data.load(args.labels, args.shared, {"sports18": "val", "yoga8": "val"})
    lying = data.lying(held_out)
    rows = []
    for size in args.sizes:
        rows += judge(size, args.start, args.run, args.shares, held_out, lying)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
