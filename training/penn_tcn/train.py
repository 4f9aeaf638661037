"""Train the bundled sequence network: tcn on Penn Action and on recordings of none of its actions.

    python -m training.label                  # poses of photos, for the negatives
    python -m training.penn_tcn.train

Joints of a pose network tremble and get lost more often than an annotator's, so recordings are
changed more than by default. The official test part is not read. A stopped training goes on.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keyact.sequences import load_sequences
from keyact.train.config import load_config
from keyact.train.photo_run import defaults
from keyact.train.run import RunFolder
from keyact.train.sequence_run import run_sequences
from training.penn_tcn.negatives import NONE, negatives

MODEL = "tcn"
SETTINGS = {
    "epochs": 24,
    "sequence.background": NONE,
    "sequence.jitter": 0.02,
    "sequence.joint_drop": 0.06,
    "sequence.frame_drop": 0.05,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--run", type=Path, default=Path("work/penn_tcn"))
    parser.add_argument("--negatives", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    penn = load_sequences(args.shared / "data/penn_action/labels")
    learnt = [recording for recording in penn if recording.split != "test"]
    learnt += negatives(args.labels, args.negatives, args.seed)
    run = RunFolder(args.run)
    run.root.mkdir(parents=True, exist_ok=True)
    config = load_config(**{**defaults(MODEL), **SETTINGS, "seed": args.seed, "tensorboard": False})
    run_sequences(
        learnt, MODEL, config, run, resume=run.checkpoint.exists(), say=print,
        on_epoch=lambda row: print({k: round(v, 4) for k, v in row.items()}, flush=True),
    )  # fmt: skip


if __name__ == "__main__":
    main()
