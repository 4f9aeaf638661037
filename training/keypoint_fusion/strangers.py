"""Photos of none of the sports: gym exercises, to learn from and to choose on.

Nothing here is for tests: `benchmarks/strangers.py` looks at yoga and clips for that, and at
``val`` of these.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from training.keypoint_fusion import data

DATASET = "exercises"
SPORTS_TOO = re.compile(
    r"clean|snatch|jerk|deadlift|power|olympic|barbell.*squat|squat.*barbell|front_squat|"
    r"overhead_squat|bench_press|boxing|punch|basketball|handstand|muscle_up|(?:^|_)rings?(?:_|$)",
    re.IGNORECASE,
)
"""Exercises that weight lifters, boxers, gymnasts and others do as such: neither here nor there."""


def part_of(row: Mapping[str, str]) -> str | None:
    """``"train"`` or ``"val"`` of a row of the exercises' manifest; None leaves it out.

    Both photos of an exercise, the same person in the same place, are in one part.
    """
    if SPORTS_TOO.search(row["exercise"]):
        return None
    return "train" if zlib.crc32(row["exercise"].encode()) % 5 < 3 else "val"


def parts(manifest: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
    """:func:`part_of` each photo by its path; one of val that is nearly one of train is in none."""
    found = {path: part_of(row) for path, row in manifest.items()}
    learnt = {manifest[path]["group"] for path, part in found.items() if part == "train"}
    for path, row in manifest.items():
        if found[path] == "val" and row["group"] in learnt:
            found[path] = None
    return found


def load(people: Path, shared: Path) -> dict[str, data.Photos]:
    """The two parts; ``people`` is an npz of training.people."""
    part = parts(data.manifest(shared, DATASET))
    photos = data.load(people, shared, "", DATASET)
    return {
        name: photos.some([i for i, path in enumerate(photos.paths) if part[path] == name])
        for name in ("train", "val")
    }
