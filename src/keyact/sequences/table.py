"""CSV tables: a row for each frame and person, a column for each coordinate.

``name`` (or ``sequence``, ``video``; left out when a file is one recording), ``frame``, ``person``
(perhaps), ``label``, ``split``, ``group`` (perhaps), then for each joint ``JOINT_x``, ``JOINT_y``,
perhaps ``JOINT_z`` and ``JOINT_score``, where JOINT is a name of the layout, or a number:
``x0, y0, score0, x1, ...`` and ``0_x`` are read as well. An empty field is a missing joint.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keyact.errors import InputError
from keyact.layouts import get_layout, layout_names
from keyact.sequences.arrays import in_layout, seen_scores
from keyact.sequences.base import MAX_TEXT_BYTES, SPLITS, Options, SequenceFormat, checked, named
from keyact.sequences.sequence import MAX_FRAMES, MAX_JOINTS, Sequence

_AXES = {"x": 0, "y": 1, "z": 2, "score": 3, "s": 3, "c": 3, "conf": 3, "visibility": 3}
_BEHIND = re.compile(r"(.+?)[_.](x|y|z|score|s|c|conf|visibility)")
_BEFORE = re.compile(r"(x|y|z|score|s|c|conf|visibility)_?(\d+)")
_NAMES = ("name", "sequence", "video", "clip", "file", "id")
_PEOPLE = ("person", "track", "track_id", "body")
_FACTS = {"label": ("label", "action"), "split": ("split",), "group": ("group", "subject")}
_MAX_ROWS = 20_000_000


def _read(path: Path, options: Options) -> Iterator[Sequence]:
    try:
        with checked(path, MAX_TEXT_BYTES).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [column.strip().lower() for column in next(rows, [])]
            places = _places(path, header, options)
            name = _find(header, _NAMES)
            recordings: dict[str, list[list[str]]] = {}
            for number, row in enumerate(rows):
                if number >= _MAX_ROWS:
                    raise InputError(f"{path}: more than {_MAX_ROWS} rows")
                if row:
                    row += [""] * (len(header) - len(row))
                    key = row[name] if name is not None else path.stem
                    recordings.setdefault(key, []).append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    for title, listed in recordings.items():
        try:
            yield named(_sequence(title, header, listed, places, options), options)
        except (InputError, ValueError) as error:
            options.report(f"{path}: {title}: {error}")


def has_joints(columns: list[str]) -> bool:
    """Whether a table of these columns holds key points."""
    found = {column.strip().lower() for column in columns}
    return sum(bool(_BEFORE.fullmatch(c) or _BEHIND.fullmatch(c)) for c in found) >= 2


def _places(path: Path, header: list[str], options: Options) -> tuple[list[str], dict[int, Any]]:
    """The joints in order, and for each column of a coordinate its joint and axis."""
    found = {}
    joints: dict[str, None] = {}
    for column, text in enumerate(header):
        if match := _BEFORE.fullmatch(text):
            joint, axis = match[2], match[1]
        elif match := _BEHIND.fullmatch(text):
            joint, axis = match[1], match[2]
        else:
            continue
        joints.setdefault(joint)
        found[column] = (joint, _AXES[axis])
    listed = list(joints)
    if not listed or len(listed) > MAX_JOINTS or not {axis for _, axis in found.values()} >= {0, 1}:
        raise InputError(
            f"{path}: has no columns of joints such as left_hip_x and left_hip_y, or x0 and y0"
        )
    if all(joint.isdigit() for joint in listed):
        listed.sort(key=int)
    order = {joint: row for row, joint in enumerate(listed)}
    return listed, {column: (order[joint], axis) for column, (joint, axis) in found.items()}


def _sequence(
    title: str,
    header: list[str],
    rows: list[list[str]],
    places: tuple[list[str], dict[int, Any]],
    options: Options,
) -> Sequence:
    joints, columns = places
    person, frame = _find(header, _PEOPLE), _find(header, ("frame", "index", "t"))
    people = {key: i for i, key in enumerate(dict.fromkeys(_field(row, person) for row in rows))}
    if frame is None:
        if len(people) > 1:
            raise InputError("several people need a column frame")
        numbers = list(range(len(rows)))
    else:
        numbers = [int(float(row[frame])) for row in rows]
        first = min(numbers)
        numbers = [number - first for number in numbers]
    if max(numbers) >= MAX_FRAMES:
        raise InputError(f"more than {MAX_FRAMES} frames")
    values = np.full((len(people), max(numbers) + 1, len(joints), 4), np.nan)
    for number, row in zip(numbers, rows, strict=True):
        at = values[people[_field(row, person)], number]
        for column, (joint, axis) in columns.items():
            if row[column].strip():
                at[joint, axis] = float(row[column])
    axes = {axis for _, axis in columns.values()}
    points = values[..., : 3 if 2 in axes else 2]
    layout, order = _layout(joints, options.layout)
    points, values = points[..., order, :], values[..., order, :]
    if layout is None:
        points, layout = in_layout(points, options.layout)
    facts: dict[str, Any] = {}
    for name, names in _FACTS.items():
        place = _find(header, names)
        if place is not None and rows[0][place]:
            facts[name] = rows[0][place]
    if "split" in facts:
        facts["split"] = SPLITS.get(facts["split"].lower(), facts["split"])
    sequence = Sequence.of(
        points,
        values[..., 3] if 3 in axes else seen_scores(points),
        layout,
        fps=options.fps,
        name=title,
        **facts,
    )
    # A frame that no row is about has nobody in it.
    return replace(sequence, mask=np.asarray(np.isfinite(points).any((2, 3)), np.bool_))


def _layout(joints: list[str], wanted: str | None) -> tuple[str | None, list[int]]:
    """The layout that has these joint names, and the columns in its order."""
    for name in [wanted] if wanted else layout_names():
        known = [joint.lower() for joint in get_layout(name).joints]
        if sorted(known) == sorted(joints):
            return name, [joints.index(joint) for joint in known]
    return wanted, list(range(len(joints)))


def _find(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _field(row: list[str], column: int | None) -> str:
    return "" if column is None else row[column]


FORMAT = SequenceFormat(
    name="csv",
    summary="tables: a row per frame and person, columns such as left_hip_x",
    suffixes=(".csv",),
    sniff=lambda path: True,
    read=_read,
)
