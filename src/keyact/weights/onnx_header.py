"""Read what an ONNX file says of itself without loading the network.

An ONNX file is a protobuf ``ModelProto``. Two things are wanted before any runtime sees a
file that may come from anywhere: its metadata, and whether it points at other files
("external data"), which keyact refuses: a network is one file, checked by one hash. Both are
found by walking the few message types that can hold them; payloads are skipped, not parsed.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyact.errors import WeightsError

# Field numbers of onnx.proto: for each message, which fields hold which messages.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_MODEL_METADATA = 14
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_MAX_DEPTH = 64


def read_metadata(data: bytes | memoryview, source: str) -> dict[str, str]:
    """The metadata of an ONNX file; refuses files that are not ONNX or not self-contained.

    Parameters
    ----------
    data : the whole file.
    source : what to call it in an error.

    Raises
    ------
    WeightsError
    """
    found: dict[str, str] = {}
    has_graph = False
    try:
        for number, value in _fields(memoryview(data)):
            if number == 7:
                has_graph = True
            if number == _MODEL_METADATA and isinstance(value, memoryview):
                entry = {key: bytes(text) for key, text in _fields(value) if not _is_int(text)}
                found[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
            elif number in _CHILDREN["model"] and isinstance(value, memoryview):
                _refuse_external(value, _CHILDREN["model"][number], source, 1)
    except (IndexError, ValueError) as error:
        raise WeightsError(f"{source}: not an ONNX file, or cut short") from error
    if not has_graph:
        raise WeightsError(f"{source}: not an ONNX file")
    return found


def _is_int(value: int | memoryview) -> bool:
    return isinstance(value, int)


def _refuse_external(message: memoryview, kind: str, source: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise WeightsError(f"{source}: graphs nested deeper than {_MAX_DEPTH}")
    children = _CHILDREN[kind]
    for number, value in _fields(message):
        if kind == "tensor" and (
            number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0)
        ):
            raise WeightsError(
                f"{source}: keeps its weights in another file; save it with them inside "
                "(onnx.save without save_as_external_data)"
            )
        if number in children and isinstance(value, memoryview):
            _refuse_external(value, children[number], source, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and value: an integer, or the bytes of a length-delimited field."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > end:
            raise ValueError("field runs past the end")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
