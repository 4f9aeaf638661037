"""What poses do for the numbers of people, and what it costs to look at people in turn.

    keyact predict one.mp4 --no-track --json one.jsonl     # and so on
    python benchmarks/tracking.py one.jsonl two.jsonl --out tracking.csv

Nobody has numbered the people of these clips, so two things are counted that need no truth:

switches    a person has another number than somebody had, in the same pose and the same place (OKS
            of at least .6, left and right exchanged or not), at most `RECENT` frames before
numbers     people counted in the whole clip; more than there are where someone gets a second one

each by ByteTrack with boxes alone and with poses, at the clip's own rate and at half, a third and a
quarter of it, as a slow machine sees it.

carried     mean distance of key points that were moved along with the box (`keyact.live.spread`)
            from those measured in the same frame, over the square root of the box's area, after
            0.1, 0.2 and 0.4 s; `still` is the same for key points left where they were
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact.layouts import get_layout
from keyact.live.spread import moved
from keyact.pose.evaluation import similarity
from keyact.results import FrameResult, Person
from keyact.track import ByteTrack

SAME = 0.6
RECENT = 5
SEEN = 0.3
RATES = (1, 2, 3, 4)
DELAYS = (0.1, 0.2, 0.4)

Joints = NDArray[np.float32]


def alike(one: Joints, other: Joints, area: float) -> float:
    """OKS of the joints that both show, left and right exchanged or not."""
    best = 0.0
    for pose in (other, other[get_layout("coco17").flip]):
        both = (one[:, 2] >= SEEN) & (pose[:, 2] >= SEEN)
        if both.sum() >= 5:
            values = similarity(one.astype(float), pose.astype(float), np.asarray(area))
            best = max(best, float(values[both].mean()))
    return best


def area(person: Person) -> float:
    """Of the box in square pixels."""
    x1, y1, x2, y2 = person.box
    return (x2 - x1) * (y2 - y1)


def numbered(
    frames: Sequence[FrameResult], fps: float, poses: bool
) -> Iterator[list[tuple[int, Person]]]:
    """The people of each frame with their numbers, those without left out."""
    track = ByteTrack(fps)
    for frame in frames:
        boxes = np.array([p.box for p in frame.people], np.float32).reshape(-1, 4)
        joints = np.array([p.keypoints for p in frame.people]).reshape(-1, 17, 3)
        numbers = track(boxes, [p.box_score for p in frame.people], joints if poses else None)
        yield [
            (number, person)
            for number, person in zip(numbers.tolist(), frame.people, strict=True)
            if number > 0
        ]


def count(frames: Sequence[FrameResult], fps: float, poses: bool) -> tuple[int, int]:
    """Switches and numbers."""
    last: dict[int, tuple[int, Person]] = {}
    switches, recent = 0, RECENT
    for index, people in enumerate(numbered(frames, fps, poses)):
        for number, person in people:
            before = [
                (alike(person.keypoints, other.keypoints, area(person)), name)
                for name, (when, other) in last.items()
                if index - when <= recent
            ]
            if before:
                value, name = max(before)
                switches += value > SAME and name != number
        last.update({number: (index, person) for number, person in people})
    return switches, len(last)


def carried(frames: Sequence[FrameResult], fps: float, delay: float) -> tuple[float, float, int]:
    """Mean error when moved and when left still, and the number of people."""
    step = max(1, round(delay * fps))
    people = [dict(one) for one in numbered(frames, fps, poses=True)]
    along, still = [], []
    for before, now in zip(people, people[step:], strict=False):
        for number in before.keys() & now.keys():
            old, new = before[number], now[number]
            boxes = [np.array(person.box, np.float32) for person in (old, new)]
            for errors, joints in (
                (along, moved(old.keypoints, *boxes)), (still, old.keypoints)
            ):  # fmt: skip
                both = (joints[:, 2] >= SEEN) & (new.keypoints[:, 2] >= SEEN)
                if both.sum() >= 5:
                    apart = np.linalg.norm((joints - new.keypoints)[both, :2], axis=1).mean()
                    errors.append(float(apart) / area(new) ** 0.5)
    return float(np.mean(along)), float(np.mean(still)), len(along)


def rows(path: Path) -> Iterator[dict[str, object]]:
    """What there is to say of one clip."""
    frames = [FrameResult.from_json(line) for line in path.read_text("utf-8").splitlines()]
    fps = (len(frames) - 1) / ((frames[-1].timestamp or 0) - (frames[0].timestamp or 0))
    for every in RATES:
        for poses in (False, True):
            switches, numbers = count(frames[::every], fps / every, poses)
            yield {
                "clip": path.stem, "measure": "numbers", "setting": f"fps {fps / every:.1f}",
                "matched_by": "boxes and poses" if poses else "boxes",
                "switches": switches, "numbers": numbers,
            }  # fmt: skip
    for delay in DELAYS:
        along, still, people = carried(frames, fps, delay)
        yield {
            "clip": path.stem, "measure": "carried", "setting": f"{delay} s",
            "moved": f"{along:.3f}", "still": f"{still:.3f}", "people": people,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="JSON Lines of keyact predict")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    found = [row for path in options.results for row in rows(path)]
    columns = list(dict.fromkeys(name for row in found for name in row))
    with open(options.out, "w", newline="") if options.out else sys.stdout as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()
