"""MATLAB files: Penn Action, and Kinect sets with one recording per file.

Penn Action (Zhang, Zhu and Derpanis, ICCV 2013): ``x``, ``y`` and ``visibility`` (T, 13),
``bbox`` (T, 4), ``action``, ``train`` (1, or -1 for the test part), ``dimensions`` (height,
width, frames). A joint that is not visible is mostly placed by the annotator's guess, which is
read as uncertain; those at pixel (1, 1), before the clips were resized, were not placed at all.
The clips were cut from longer videos: neighbours of the same action and size are one group.

Kinect sets such as UTD-MHAD (Chen, Jafari and Kehtarnavaz, ICIP 2015): an array such as
``d_skel`` (20, 3, T), under any name and with its axes in any order. Of files named like
``a1_s2_t3_skeleton.mat`` the name tells action, subject and split.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keyact.errors import InputError
from keyact.sequences.arrays import as_sequence_axes, in_layout, seen_scores
from keyact.sequences.base import Options, SequenceFormat, checked, named
from keyact.sequences.sequence import UNCERTAIN, Sequence

_MAX_BYTES = 256 * 2**20
_MAX_UNPACKED = 2**30
_COMPRESSED = 15  # MATLAB's number for a compressed part
_PENN = {"x", "y", "visibility"}
_UNPLACED = 2.0  # pixels: 1 before resizing, by a factor of 0.7 to 1.5


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    _check_unpacked(checked(path, _MAX_BYTES))
    try:
        found: dict[str, Any] = loadmat(path, simplify_cells=True)
    except NotImplementedError:
        raise InputError(f"{path}: a MATLAB 7.3 file; save it with: save(name, '-v7')") from None
    except Exception as error:  # scipy's reader lets struct, zlib and index errors through
        raise InputError(f"{path}: not a MATLAB file: {error}") from None
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _check_unpacked(path: Path) -> None:
    """Refuse a file whose compressed parts are small and unpack to more than memory has."""
    with path.open("rb") as file:
        head = file.read(128)
        if len(head) < 128 or head[126:] not in (b"IM", b"MI"):
            return  # an older version, which does not compress
        tag = struct.Struct("<II" if head[126:] == b"IM" else ">II")
        total = 0
        while len(start := file.read(tag.size)) == tag.size:
            kind, size = tag.unpack(start)
            total += _unpacked(file, size) if kind == _COMPRESSED else size
            if total > _MAX_UNPACKED:
                raise InputError(f"{path}: unpacks to more than {_MAX_UNPACKED} bytes")
            if kind != _COMPRESSED:
                file.seek(size, os.SEEK_CUR)


def _unpacked(file: BinaryIO, size: int) -> int:
    """Bytes that a compressed part unpacks to, counted no further than the cap."""
    inflate, total = zlib.decompressobj(), 0
    data = file.read(size)
    try:
        while data and not inflate.eof and total <= _MAX_UNPACKED:
            total += len(inflate.decompress(data, 2**20))
            data = inflate.unconsumed_tail
    except zlib.error:  # SciPy says so
        pass
    return total


def _variables(path: Path) -> set[str]:
    from scipy.io import whosmat

    try:
        return {name for name, _, _ in whosmat(path)}
    except Exception:  # as above; reading it will say why
        return set()


def _read_penn(path: Path, options: Options) -> Iterator[Sequence]:
    data = _load(path)
    try:
        x, y, seen = (np.asarray(data[name], np.float64) for name in ("x", "y", "visibility"))
        if x.ndim != 2 or not x.shape == y.shape == seen.shape:
            raise InputError(f"{path}: x, y and visibility are not (T, joints) alike")
        size = None
        if "dimensions" in data:
            height, width = (int(value) for value in np.ravel(data["dimensions"])[:2])
            size = (width, height)
        train = None if "train" not in data else int(np.ravel(data["train"])[0])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a Penn Action label: {error!r}") from None
    scores = np.where(seen > 0, 1.0, UNCERTAIN)
    scores[(seen <= 0) & (x < _UNPLACED) & (y < _UNPLACED)] = 0
    layout = options.layout or ("penn13" if x.shape[1] == 13 else None)
    yield Sequence.of(
        np.stack([x, y], -1),
        scores,
        layout,
        mask=np.ones((1, len(x)), bool),
        fps=options.fps,
        label=str(data["action"]) if "action" in data else None,
        name=path.stem,
        split=None if train is None else ("train" if train == 1 else "test"),
        size=size,
    )


def _penn_groups(sequences: list[Sequence]) -> list[Sequence]:
    """Neighbours that may come from the same video."""
    result: list[Sequence] = []
    for _, run in groupby(sequences, key=lambda s: (s.label, s.size, s.split)):
        clips = list(run)
        result += [replace(clip, group=clip.group or clips[0].name) for clip in clips]
    return result


def _read_kinect(path: Path, options: Options) -> Iterator[Sequence]:
    data = _load(path)
    arrays = {
        name: np.asarray(value, np.float64)
        for name, value in data.items()
        if isinstance(value, np.ndarray) and value.ndim in (2, 3, 4) and value.dtype.kind in "iuf"
    }
    if options.array is not None and options.array not in arrays:
        raise InputError(
            f"{path}: has no array of numbers {options.array!r}; it has "
            f"{', '.join(sorted(data)) or 'nothing'}"
        )
    if not arrays:
        raise InputError(f"{path}: has no array of joints, coordinates and frames in it")
    name = options.array or max(arrays, key=lambda key: _rank(key, arrays[key]))
    points = as_sequence_axes(arrays[name], f"{path}: {name}", options.layout)
    points, layout = in_layout(points, options.layout)
    label = data.get("label", data.get("action"))
    sequence = Sequence.of(
        points,
        seen_scores(points),
        layout,
        fps=options.fps,
        label=str(label) if isinstance(label, (str, int)) else None,
        name=path.stem,
    )
    yield named(sequence, options)


def _rank(name: str, array: np.ndarray[Any, Any]) -> tuple[bool, bool, int]:
    return "skel" in name.lower(), array.ndim > 2, array.size


PENN = SequenceFormat(
    name="penn-action",
    summary="Penn Action labels: .mat files with x, y, visibility",
    suffixes=(".mat",),
    sniff=lambda path: _variables(path) >= _PENN,
    read=_read_penn,
    together=_penn_groups,
)

KINECT = SequenceFormat(
    name="mat",
    summary="one recording per .mat file, such as UTD-MHAD: joints x coordinates x frames",
    suffixes=(".mat",),
    sniff=lambda path: not _variables(path) >= _PENN,
    read=_read_kinect,
)
