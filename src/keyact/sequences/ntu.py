"""NTU RGB+D's ``.skeleton`` texts: Kinect v2, 25 joints in metres, up to several people.

Per file: the number of frames; per frame the number of bodies; per body a line that starts with
its id, the number of joints, and a line of 12 numbers for each: x, y, z, its place in the depth
and colour pictures, orientation, tracking state (2 tracked, 1 inferred, 0 not tracked). The name
``S001C002P003R001A004`` tells person and action (Shahroudy et al., CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keyact.errors import InputError
from keyact.sequences.base import MAX_TEXT_BYTES, Options, SequenceFormat, checked, named
from keyact.sequences.sequence import MAX_FRAMES, MAX_JOINTS, MAX_PEOPLE, UNCERTAIN, Sequence

FPS = 30.0
_STATES = np.array([0.0, UNCERTAIN, 1.0], np.float32)


def _read(path: Path, options: Options) -> Iterator[Sequence]:
    bodies: dict[str, dict[int, np.ndarray]] = {}
    try:
        with checked(path, MAX_TEXT_BYTES).open(encoding="ascii") as file:
            lines = (line for line in file if line.strip())
            frames = _count(next(lines), MAX_FRAMES, "frames")
            for frame in range(frames):
                for _ in range(_count(next(lines), MAX_PEOPLE, "bodies")):
                    body = next(lines).split()[0]
                    joints = _count(next(lines), MAX_JOINTS, "joints")
                    rows = np.array([next(lines).split() for _ in range(joints)], np.float64)
                    if rows.ndim != 2 or rows.shape[1] < 3:
                        raise ValueError(f"a body of {joints} joints without x, y, z")
                    bodies.setdefault(body, {})[frame] = rows
                    if len(bodies) > MAX_PEOPLE:
                        raise ValueError(f"more than {MAX_PEOPLE} bodies")
    except (StopIteration, UnicodeDecodeError, ValueError, IndexError, OSError) as error:
        why = "ends early" if isinstance(error, StopIteration) else error
        raise InputError(f"{path}: not an NTU skeleton: {why}") from None
    sizes = {rows.shape for body in bodies.values() for rows in body.values()}
    if not frames or not bodies:
        raise InputError(f"{path}: has no body in it")
    if len(sizes) != 1:
        raise InputError(f"{path}: bodies of different numbers of joints")
    ((joints, columns),) = sizes
    points = np.zeros((len(bodies), frames, joints, 3), np.float32)
    scores = np.zeros((len(bodies), frames, joints), np.float32)
    for person, track in enumerate(bodies.values()):
        for at, rows in track.items():
            points[person, at] = rows[:, :3]
            state = rows[:, 11].astype(int).clip(0, 2) if columns >= 12 else np.full(joints, 2)
            scores[person, at] = _STATES[state]
    mask = np.array([[frame in body for frame in range(frames)] for body in bodies.values()])
    layout = options.layout or ("kinect25" if joints == 25 else None)
    sequence = Sequence.of(
        np.where(mask[..., None, None], points, 0),
        scores,
        layout,
        mask=mask,
        fps=options.fps or FPS,
        name=path.stem,
    )
    yield named(sequence, options)


def _count(line: str, most: int, what: str) -> int:
    number = int(line)
    if not 0 <= number <= most:
        raise ValueError(f"{number} {what}, at most {most}")
    return number


FORMAT = SequenceFormat(
    name="ntu",
    summary="NTU RGB+D skeletons: .skeleton",
    suffixes=(".skeleton",),
    sniff=lambda path: True,
    read=_read,
)
