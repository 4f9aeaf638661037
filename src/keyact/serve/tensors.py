"""Tensors of the Open Inference Protocol: JSON, and the binary tensor data extension.

https://github.com/kserve/open-inference-protocol and Triton's ``extension_binary_data``: the body
is JSON of as many bytes as the header ``Inference-Header-Content-Length`` says, followed by the
tensors that the JSON gives a ``binary_data_size``, little-endian and row by row; an element of
BYTES is its length in four bytes and its content.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from keyact.errors import InputError

HEADER = "inference-header-content-length"
Tensor: TypeAlias = "NDArray[Any] | list[bytes]"
"""Numbers, or the elements of a BYTES tensor."""

_TYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32", np.dtype(np.float32): "FP32"}


class _Wanted(BaseModel):
    name: str = Field(max_length=64)
    parameters: dict[str, Any] = {}


class _Input(_Wanted):
    shape: list[int] = Field(max_length=8)
    datatype: str = Field(max_length=16)
    data: Any = None


class _Body(BaseModel):
    id: str = Field("", max_length=128)
    parameters: dict[str, Any] = {}
    inputs: list[_Input] = Field(max_length=8)
    outputs: list[_Wanted] | None = Field(None, max_length=32)


@dataclass(frozen=True)
class InferRequest:
    """What a client asks for.

    Attributes
    ----------
    id : the client's, given back.
    parameters : of the request.
    inputs : name -> tensor with its parameters.
    outputs : name -> whether it is wanted as binary data; None stands for all.
    binary : whether outputs that do not say so are wanted as binary data.
    """

    id: str
    parameters: dict[str, Any]
    inputs: dict[str, tuple[Tensor, dict[str, Any]]]
    outputs: dict[str, bool] | None
    binary: bool


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """Read a body; ``header_length`` is the value of `HEADER`.

    Raises
    ------
    InputError : not of the protocol, or sizes that do not fit.
    """
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > len(body):
            raise InputError(f"Inference-Header-Content-Length is {header_length[:20]!r}, "
                             f"of a body of {len(body)} bytes")  # fmt: skip
        length = int(header_length)
    try:
        asked = _Body.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its start"
        raise InputError(f"bad inference request at {where}: {first['msg']}") from None
    rest = memoryview(body)[length:]
    inputs: dict[str, tuple[Tensor, dict[str, Any]]] = {}
    for given in asked.inputs:
        size = given.parameters.get("binary_data_size")
        if size is None:
            tensor = _from_json(given)
        else:
            if not isinstance(size, int) or not 0 <= size <= len(rest):
                raise InputError(f"input {given.name!r}: binary_data_size {size!r} does not fit")
            tensor = _from_bytes(given, rest[:size])
            rest = rest[size:]
        inputs[given.name] = (tensor, given.parameters)
    if len(rest):
        raise InputError(f"{len(rest)} bytes after the last tensor")
    binary = bool(asked.parameters.get("binary_data_output", False))
    outputs = None
    if asked.outputs is not None:
        outputs = {
            one.name: bool(one.parameters.get("binary_data", binary)) for one in asked.outputs
        }
    return InferRequest(asked.id, asked.parameters, inputs, outputs, binary)


def write_response(
    head: dict[str, Any], outputs: dict[str, Tensor], binary: dict[str, bool]
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON when tensors follow it."""
    described = []
    blobs = []
    for name, tensor in outputs.items():
        one: dict[str, Any] = {
            "name": name,
            "datatype": "BYTES" if isinstance(tensor, list) else _TYPES[tensor.dtype],
            "shape": [len(tensor)] if isinstance(tensor, list) else list(tensor.shape),
        }
        if binary.get(name, False):
            blob = _to_bytes(tensor)
            one["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        elif isinstance(tensor, list):
            one["data"] = [element.decode("utf-8") for element in tensor]
        else:
            one["data"] = tensor.ravel().tolist()
        described.append(one)
    text = json.dumps({**head, "outputs": described}, separators=(",", ":")).encode()
    return b"".join((text, *blobs)), len(text) if blobs else None


def _from_json(given: _Input) -> Tensor:
    data, count = given.data, _count(given)
    if not isinstance(data, list):
        raise InputError(f"input {given.name!r}: has neither data nor a binary_data_size")
    if given.datatype == "BYTES":
        if len(data) != count or not all(isinstance(one, str) for one in data):
            raise InputError(f"input {given.name!r}: wants {count} texts in base64")
        try:
            return [base64.b64decode(one, validate=True) for one in data]
        except (binascii.Error, ValueError):
            raise InputError(f"input {given.name!r}: bytes in JSON are written in base64") from None
    try:
        array = np.asarray(data)
    except ValueError:
        array = np.empty(0)
    if array.size != count or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"input {given.name!r}: data does not fit shape {given.shape}")
    if count and (array.min() < 0 or array.max() > 255):
        raise InputError(f"input {given.name!r}: UINT8 is 0 to 255")
    return array.astype(np.uint8).reshape(given.shape)


def _from_bytes(given: _Input, data: memoryview) -> Tensor:
    count = _count(given)
    if given.datatype == "UINT8":
        if len(data) != count:
            raise InputError(
                f"input {given.name!r}: {len(data)} bytes do not fit shape {given.shape}"
            )
        return np.frombuffer(data, np.uint8).reshape(given.shape)
    elements: list[bytes] = []
    while len(data) >= 4 and len(elements) < count:
        (size,) = struct.unpack("<I", data[:4])
        if size > len(data) - 4:
            break
        elements.append(bytes(data[4 : 4 + size]))
        data = data[4 + size :]
    if len(elements) != count or len(data):
        raise InputError(f"input {given.name!r}: the bytes are not {count} elements with lengths")
    return elements


def _count(given: _Input) -> int:
    if given.datatype not in ("UINT8", "BYTES"):
        raise InputError(
            f"input {given.name!r}: datatype {given.datatype!r}; inputs are UINT8 or BYTES"
        )
    if any(side < 0 for side in given.shape):
        raise InputError(f"input {given.name!r}: shape {given.shape} has a side below 0")
    return math.prod(given.shape)


def _to_bytes(tensor: Tensor) -> bytes:
    if isinstance(tensor, list):
        return b"".join(struct.pack("<I", len(element)) + element for element in tensor)
    return np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
