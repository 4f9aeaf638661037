"""NumPy archives: keyact's own, one recording per file, and whole data sets in one.

keyact's own (`save_sequences`) has every recording behind the other: ``keypoints`` (sum of
M x T, V, C), ``scores``, ``mask``, ``shapes`` (N, 2), and the other attributes as columns; reading
gives back what was written.

Others are told by their names. One recording: ``keypoints`` (or ``data``, ``skeleton``, ``x``, or
the only array) with (T, V, C), (M, T, V, C) or other axes, perhaps ``scores``, ``label``,
``fps``. A data set: ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``, with
(N, T, V, C), (N, M, T, V, C), ST-GCN's (N, C, T, V, M) or CTR-GCN's (N, T, M x V x C); ``y``
is numbers, names or one-hot rows. Pickled objects in an archive are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.replacing import replacing
from keyact.sequences.arrays import as_sequence_axes, in_layout, seen_scores
from keyact.sequences.base import SPLITS, Options, SequenceFormat, checked, named, starts_with
from keyact.sequences.sequence import MAX_VALUES, Sequence, layout_size

_MAX_UNPACKED = 16 * 2**30
_POINTS = ("keypoints", "keypoint", "skeleton", "skeletons", "joints", "data", "x", "pose", "poses")
_SCORES = ("scores", "score", "keypoint_score", "confidence", "conf", "visibility")
_LABELS = ("label", "labels", "y", "action", "actions", "target", "targets")
_GROUPS = ("group", "groups", "subject", "subjects")
_TEXTS = ("layout", "label", "name", "split", "group")

Arrays = dict[str, NDArray[Any]]


def save_sequences(path: str | Path, sequences: list[Sequence]) -> None:
    """Write recordings that `read` gives back exactly; atomically.

    Raises
    ------
    InputError : no sequence, or different numbers of joints or coordinates.
    """
    kinds = {(sequence.joints, sequence.dims) for sequence in sequences}
    if len(kinds) != 1:
        raise InputError(f"{path}: sequences of {len(kinds)} kinds of joints; write one kind")
    columns: Arrays = {
        name: np.array([getattr(s, name) or "" for s in sequences], dtype=np.str_)
        for name in _TEXTS
    }
    # An empty text and no text are not the same.
    columns |= {f"has_{n}": np.array([getattr(s, n) is not None for s in sequences])
                for n in ("label", "split", "group")}  # fmt: skip
    with replacing(path, InputError) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            keyact_sequences=np.array(1),
            keypoints=np.concatenate([_rows(s.keypoints) for s in sequences]),
            scores=np.concatenate([_rows(s.scores) for s in sequences]),
            mask=np.concatenate([s.mask.ravel() for s in sequences]),
            shapes=np.array([s.mask.shape for s in sequences], np.int64),
            fps=np.array([s.fps or 0 for s in sequences], np.float64),
            size=np.array([s.size or (0, 0) for s in sequences], np.int64),
            **columns,  # type: ignore[arg-type]
        )


def read(path: Path, options: Options) -> Iterator[Sequence]:
    """See `keyact.sequences.base.SequenceFormat.read`."""
    data = _load(path)
    try:
        if "keyact_sequences" in data:
            yield from _own(data)
            return
        sets = [name for name in ("train", "val", "test") if f"x_{name}" in data]
        if sets:
            for name in sets:
                yield from _set(path, data[f"x_{name}"], data.get(f"y_{name}"), data, name, options)
            return
        points = _points(path, data, options)
        labels = _first(data, _LABELS)
        if points.ndim >= 3 and labels is not None and labels.ndim and len(labels) == len(points):
            yield from _set(path, points, labels, data, None, options)
        else:
            yield _one(path, points, labels, data, options)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path}: {error}") from None


def _own(data: Arrays) -> Iterator[Sequence]:
    shapes = data["shapes"]
    ends = np.concatenate([[0], np.cumsum(shapes.prod(1))])
    for number, (start, stop) in enumerate(pairwise(ends.tolist())):
        people, frames = (int(length) for length in shapes[number])
        texts: dict[str, Any] = {name: str(data[name][number]) for name in _TEXTS}
        for name in ("label", "split", "group"):
            if not data[f"has_{name}"][number]:
                del texts[name]
        width, height = (int(side) for side in data["size"][number])
        part = slice(start, stop)
        keypoints, scores = data["keypoints"][part], data["scores"][part]
        yield Sequence(
            keypoints.reshape(people, frames, *keypoints.shape[1:]),
            scores.reshape(people, frames, -1),
            data["mask"][part].reshape(people, frames),
            fps=float(data["fps"][number]) or None,
            size=(width, height) if width else None,
            **texts,
        )


def _one(path: Path, points: NDArray[Any], label: Any, data: Arrays, options: Options) -> Sequence:
    given = data.get("layout")
    wanted = options.layout or (str(given) if given is not None and given.ndim == 0 else None)
    points = as_sequence_axes(np.asarray(points, np.float64), str(path), wanted)
    points, layout = in_layout(points, wanted)
    scores = _first(data, _SCORES)
    if scores is not None and scores.ndim == 2:
        scores = scores[None]
    fps = data.get("fps")
    text = None
    if label is not None and label.size == 1:
        text = _name(label.reshape(())[()], options)
    group = _first(data, _GROUPS)
    split = data.get("split")
    return named(
        Sequence.of(
            points,
            seen_scores(points) if scores is None else scores,
            layout,
            fps=options.fps or (float(fps) if fps is not None and fps.size == 1 else None),
            label=text,
            name=path.stem,
            group=str(group) if group is not None and group.size == 1 else None,
            split=SPLITS.get(str(split).lower(), str(split)) if split is not None else None,
        ),
        options,
    )


def _set(
    path: Path,
    points: NDArray[Any],
    labels: NDArray[Any] | None,
    data: Arrays,
    split: str | None,
    options: Options,
) -> Iterator[Sequence]:
    """N recordings in one array, padded with zeros behind their ends."""
    points = _people_first(np.asarray(points), str(path), options.layout)
    # One layout for all: what holds for the set need not show in one recording.
    some = points[:: max(1, len(points) // 200)].astype(np.float64)
    _, layout = in_layout(some, options.layout)
    columns = {name: _column(data, names, len(points)) for name, names in
               (("scores", _SCORES), ("group", _GROUPS), ("split", ("split",)))}  # fmt: skip
    names = _column(data, ("name", "names", "sample_name"), len(points))
    if labels is not None and labels.ndim == 2:  # one-hot
        labels = labels.argmax(1)
    if labels is not None and len(labels) != len(points):
        raise ValueError(f"{len(points)} recordings, but {len(labels)} labels")
    for number, one in enumerate(points):
        whole = one.astype(np.float64)
        used = np.flatnonzero((np.nan_to_num(whole) != 0).any((0, 2, 3)))
        length = int(used[-1]) + 1 if len(used) else 0
        title = f"{path.stem}-{split or ''}{'-' if split else ''}{number:05d}"
        title = title if names is None else str(names[number])
        if not length:
            options.report(f"{path}: recording {number} is empty")
            continue
        people = (np.nan_to_num(whole) != 0).any((1, 2, 3))
        whole, known = in_layout(whole[people, :length], layout)
        scores = columns["scores"]
        side = columns["split"]
        yield Sequence.of(
            whole,
            seen_scores(whole)
            if scores is None
            else np.asarray(scores[number]).reshape(-1, points.shape[2], points.shape[3])[
                people, :length
            ],
            known,
            fps=options.fps,
            label=None if labels is None else _name(labels[number], options),
            name=title,
            group=None if columns["group"] is None else str(columns["group"][number]),
            split=split or (None if side is None else SPLITS.get(str(side[number]).lower())),
        )


def _people_first(points: NDArray[Any], where: str, layout: str | None) -> NDArray[Any]:
    """(N, M, T, V, C)."""
    if points.ndim == 5 and points.shape[-1] in (2, 3):
        return points
    if points.ndim == 5 and points.shape[1] in (2, 3):  # ST-GCN: N, C, T, V, M
        return points.transpose(0, 4, 2, 3, 1)
    if points.ndim == 4:
        return np.stack([as_sequence_axes(one, where, layout) for one in points])
    if points.ndim == 3:
        for joints in [layout_size(layout)] if layout else (25, 20, 17, 13, 18):
            for people, dims in ((1, 3), (2, 3), (1, 2), (2, 2)):
                if joints * people * dims == points.shape[2]:
                    shape = (*points.shape[:2], people, joints, dims)
                    return points.reshape(shape).transpose(0, 2, 1, 3, 4)
    raise ValueError(f"an array of shape {points.shape} is not recordings of joints")


def _points(path: Path, data: Arrays, options: Options) -> NDArray[Any]:
    if options.array is not None:
        if options.array not in data:
            raise InputError(
                f"{path}: has no array {options.array!r}; it has {', '.join(sorted(data))}"
            )
        return data[options.array]
    points = _first(data, _POINTS)
    if points is None:
        large = [a for a in data.values() if a.ndim >= 3 and a.dtype.kind in "iuf"]
        if len(large) != 1:
            raise InputError(
                f"{path}: which array has the key points? One of {', '.join(sorted(data))}"
            )
        points = large[0]
    return points


def _first(data: Arrays, names: tuple[str, ...]) -> NDArray[Any] | None:
    folded = {name.lower(): array for name, array in data.items()}
    return next((folded[name] for name in names if name in folded), None)


def _column(data: Arrays, names: tuple[str, ...], count: int) -> NDArray[Any] | None:
    column = _first(data, names)
    return column if column is not None and column.ndim and len(column) == count else None


def _name(label: Any, options: Options) -> str:
    if isinstance(label, (np.integer, int)) or (
        isinstance(label, (float, np.floating)) and float(label).is_integer()
    ):
        return options.label(int(label))
    return str(label)


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, *array.shape[2:])


def _load(path: Path) -> Arrays:
    checked(path)
    try:
        if path.suffix.lower() == ".npy":
            return {"keypoints": np.load(path, allow_pickle=False, mmap_mode="r")}
        found, total = {}, 0
        with np.load(path, allow_pickle=False) as archive:
            for info in archive.zip.infolist():
                total += info.file_size
            if total > _MAX_UNPACKED:
                raise InputError(f"{path}: unpacks to {total} bytes, more than {_MAX_UNPACKED}")
            for name in archive.files:
                found[name] = archive[name]
    except InputError:
        raise
    except Exception as error:  # zip, header and memory errors of every kind
        raise InputError(f"{path}: not a NumPy archive without objects: {error}") from None
    if any(array.size > MAX_VALUES * 16 for array in found.values()):
        raise InputError(f"{path}: an array of too many numbers")
    return found


FORMAT = SequenceFormat(
    name="npz",
    summary="NumPy archives: keyact's own, one recording, or a data set with x and y",
    suffixes=(".npz", ".npy"),
    sniff=lambda path: starts_with(path, b"PK", b"\x93NUMPY"),
    read=read,
)
