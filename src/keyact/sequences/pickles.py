"""PYSKL's and MMAction2's skeleton annotations, read without running anything.

A pickle is a program. This reader runs the part of it that makes plain values and NumPy arrays,
and refuses the file at the first name of anything else: classes and functions that a pickle asks
for are never looked up. Arrays are rebuilt from their bytes here, not by NumPy's own loader,
which would take shapes and types that are meant to harm.

The file holds ``{"split": {name: [frame_dir, ...]}, "annotations": [...]}`` or the list alone. An
annotation has ``frame_dir``, ``label``, ``img_shape`` (height, width), ``total_frames``,
``keypoint`` (M, T, V, 2 or 3) and ``keypoint_score`` (M, T, V): Duan et al., PYSKL, MM 2022.
"""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.sequences.arrays import in_layout, seen_scores
from keyact.sequences.base import SPLITS, Options, SequenceFormat, checked, starts_with
from keyact.sequences.sequence import Sequence

MAX_DEPTH = 64
MAX_ANNOTATIONS = 2_000_000


class RefusedPickle(InputError):
    """The pickle asks for something that is neither a plain value nor a NumPy array."""


class _Sealed(type):
    """A pickle can set attributes of whatever it is handed; not of these classes."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise RefusedPickle(f"a change of {name}"[:200])


class _Dtype(metaclass=_Sealed):
    """Stands for ``numpy.dtype``: a number type by its letters, nothing else."""

    def __init__(self, letters: object, align: object = False, copy: object = True) -> None:
        if not isinstance(letters, str) or len(letters) > 8:
            raise RefusedPickle(f"an array of the type {str(letters)[:40]!r}")
        self.type = np.dtype(letters)
        if self.type.kind not in "biufSU":
            raise RefusedPickle(f"an array of the type {letters!r}")

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) >= 5 and state[1] in ("<", ">", "|", "=")):
            raise RefusedPickle("an array type with a state of its own")
        if any(part is not None for part in state[2:5]):
            raise RefusedPickle("an array of structures")
        if state[1] in "<>":
            self.type = self.type.newbyteorder(state[1])


class _Ndarray(metaclass=_Sealed):
    """Stands for ``numpy.ndarray``, which could be called with a shape to fill the memory."""

    def __init__(self, *_: object) -> None:
        raise RefusedPickle("an array without data")


class _Array(metaclass=_Sealed):
    """An array while it is rebuilt."""

    value: NDArray[Any]

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise RefusedPickle("an array with a state of its own")
        _, shape, dtype, fortran, data = state
        self.value = _rebuilt(data, dtype, shape, "F" if fortran else "C")


class _Numpy:
    """NumPy's functions that pickles call; as bound methods, whose code cannot be exchanged."""

    def reconstruct(self, kind: object, shape: object, letter: object) -> _Array:
        if kind is not _Ndarray or shape != (0,):
            raise RefusedPickle("a subclass of a NumPy array")
        return _Array()

    def frombuffer(self, data: object, dtype: object, shape: object, order: object) -> _Array:
        array = _Array()
        array.value = _rebuilt(data, dtype, shape, "F" if order == "F" else "C")
        return array

    def scalar(self, dtype: object, data: object = b"") -> Any:
        return _rebuilt(data, dtype, (), "C").item()

    def no_bytes(self) -> bytes:
        """``bytes()``, as the second protocol writes none; of a number it would fill the memory."""
        return b""

    def encode(self, text: object, encoding: object = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise RefusedPickle("a text codec")
        return codecs.latin_1_encode(text)[0]


def _rebuilt(data: object, dtype: object, shape: object, order: Any) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype):
        raise RefusedPickle("an array without a type")
    if isinstance(data, str):  # Python 2 wrote bytes as text
        data = data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)):
        raise RefusedPickle("an array of objects")
    if not (
        isinstance(shape, tuple)
        and len(shape) <= 8
        and all(isinstance(length, int) and length >= 0 for length in shape)
    ):
        raise RefusedPickle("an array with no shape")
    try:
        return np.frombuffer(data, dtype.type).reshape(shape, order=order)
    except ValueError as error:
        raise RefusedPickle(f"an array whose bytes do not fit its shape: {error}") from None


_NUMPY = _Numpy()
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("__builtin__", "set"): set,
    ("__builtin__", "frozenset"): frozenset,
    ("__builtin__", "bytes"): _NUMPY.no_bytes,
    ("_codecs", "encode"): _NUMPY.encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Ndarray,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _NUMPY.reconstruct),
            ("multiarray", "scalar", _NUMPY.scalar),
            ("numeric", "_frombuffer", _NUMPY.frombuffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise RefusedPickle(f"{module}.{name}"[:200]) from None

    def persistent_load(self, pid: object) -> Any:
        raise RefusedPickle("an object outside of the file")


def read_pickle(path: Path) -> Any:
    """Plain values and NumPy arrays of a pickle from anywhere.

    Raises
    ------
    RefusedPickle : it asks for anything else.
    InputError : it is no pickle, or broken.
    """
    with checked(path).open("rb") as file:
        try:
            return _plain(_Unpickler(file).load())
        except RefusedPickle as error:
            raise RefusedPickle(
                f"{path}: refused: this pickle asks for {error}, and only plain values and "
                "NumPy arrays are read"
            ) from None
        except (Exception, RecursionError) as error:  # unpickling raises whatever it meets
            raise InputError(f"{path}: not a pickle: {error or type(error).__name__}") from None


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise RefusedPickle("values nested without an end")
    if isinstance(value, _Array):
        return getattr(value, "value", np.zeros(0))
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item, depth + 1) for item in value)
    if isinstance(value, (_Dtype, type)) or callable(value):
        raise RefusedPickle("a class or function as a value")
    return value


def _read(path: Path, options: Options) -> Iterator[Sequence]:
    data = read_pickle(path)
    splits: dict[str, str] = {}
    entries = data
    if isinstance(data, dict):
        entries = data.get("annotations")
        listed = data.get("split") or {}
        if isinstance(listed, dict):
            splits = _splits(listed)
    if not isinstance(entries, list) or len(entries) > MAX_ANNOTATIONS:
        raise InputError(f"{path}: not a list of annotations, nor a dictionary with them")
    if options.layout is None:
        options = replace(options, layout=_layout(entries))
    for number, entry in enumerate(entries):
        try:
            yield _sequence(entry, splits, options)
        except InputError as error:
            options.report(f"{path}: annotation {number}: {error}")


def _layout(entries: list[Any]) -> str | None:
    """One for the file, by its first recordings; None when these differ or are strange."""
    points = [e["keypoint"] for e in entries[:50] if isinstance(e, dict) and "keypoint" in e]
    rows = [
        p.reshape(-1, *p.shape[2:]) for p in points if isinstance(p, np.ndarray) and p.ndim == 4
    ]
    if not rows or len({row.shape[1:] for row in rows}) != 1:
        return None
    return in_layout(np.concatenate(rows).astype(np.float64))[1]


def _sequence(entry: Any, splits: dict[str, str], options: Options) -> Sequence:
    try:
        name = str(entry.get("frame_dir", entry.get("filename", "")))
        points, layout = in_layout(np.asarray(entry["keypoint"], np.float64), options.layout)
        scores = entry.get("keypoint_score")
        size = entry.get("img_shape") or entry.get("original_shape")
        label = entry.get("label")
        return Sequence.of(
            points,
            seen_scores(points) if scores is None else np.asarray(scores, np.float32),
            layout,
            fps=options.fps,
            label=label if label is None or isinstance(label, str) else options.label(int(label)),
            name=name,
            split=splits.get(name),
            size=(int(size[1]), int(size[0])) if size else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"not a skeleton annotation: {error!r}") from None


def _splits(listed: dict[Any, Any]) -> dict[str, str]:
    """Name of a recording -> split; of several protocols in one file the first counts."""
    sides = {}
    for split in listed:
        last = str(split).lower().replace("-", "_").split("_")[-1].rstrip("0123456789")
        sides[split] = SPLITS.get(last, str(split))
    # NTU's and UCF's files call the second of two parts val; results are published on it.
    val = "val" if "test" in sides.values() else "test"
    result: dict[str, str] = {}
    for split, names in listed.items():
        for name in names:
            result.setdefault(str(name), val if sides[split] == "val" else sides[split])
    return result


FORMAT = SequenceFormat(
    name="pyskl",
    summary="skeleton annotations of PYSKL and MMAction2: .pkl",
    suffixes=(".pkl", ".pickle"),
    sniff=lambda path: starts_with(path, b"\x80", b"(", b"]", b"}"),
    read=_read,
)
