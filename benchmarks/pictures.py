"""The pictures of the documentation, of drawn people, and what keyact said of them.

    python benchmarks/pictures.py    # docs/images/people.jpg and people.jsonl
    python benchmarks/readme.py      # the README says it, too

The people are those of notebooks/drawn.py; timeline.jpg is the tour's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from keyact import Recognizer  # noqa: E402
from keyact.outputs import annotate  # noqa: E402
from notebooks import drawn  # noqa: E402

PEOPLE = (("stand", 0.0, 3), ("jumping jack", 1.0, 2), ("squat", 1.0, 4), ("jumping jack", 0.6, 1))
"""Action, how far into it, and whose looks."""


def people(recognizer: Recognizer, folder: Path) -> None:
    """Some people side by side, and what was said of each."""
    tiles, results = [], []
    for action, phase, seed in PEOPLE:
        picture, _ = drawn.photo(action, seed, phase)
        result = recognizer(picture, source=action).model_copy(update={"timings_ms": {}})
        tiles.append(annotate(picture, result))
        results.append(f"{result.to_json()}\n")
    cv2.imwrite(str(folder / "people.jpg"), np.hstack(tiles), [cv2.IMWRITE_JPEG_QUALITY, 85])
    (folder / "people.jsonl").write_text("".join(results), "utf-8")


def main() -> None:
    folder = ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    people(Recognizer(threads=1), folder)


if __name__ == "__main__":
    main()
