"""The one place that talks to ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import WeightsError
from keyact.weights import MAX_FILE_BYTES, parse_meta, read_model_file
from keyact.weights.onnx_header import read_metadata


class OnnxModel:
    """A network in one ONNX file, on the CPU.

    Loading it imports onnxruntime; importing this module does not.

    Parameters
    ----------
    path_or_bytes : file, or its contents; at most 512 MiB, weights inside.
    threads : CPU threads within an operator; None leaves it to ONNX Runtime (one per core).
    sha256 : expected hash in hexadecimal; checked on the very bytes that are run.

    Attributes
    ----------
    meta : the JSON object in the ONNX metadata under ``"keyact"``; empty when absent.
    inputs : name -> shape of each input, None where the size is free.
    types : name -> element type of each input.
    outputs : names of the outputs.
    source : what it is called in errors.

    Raises
    ------
    WeightsError : unreadable, too large, not ONNX, external data, wrong hash, or refused by
        ONNX Runtime.
    """

    def __init__(
        self,
        path_or_bytes: str | Path | bytes,
        threads: int | None = None,
        sha256: str | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        if isinstance(path_or_bytes, bytes):
            self.source = "the ONNX bytes"
            data = path_or_bytes
            if len(data) > MAX_FILE_BYTES:
                raise WeightsError(f"{self.source}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        else:
            self.source = str(path_or_bytes)
            data = read_model_file(Path(path_or_bytes))
        found = hashlib.sha256(data).hexdigest() if sha256 is not None else None
        if sha256 is not None and found != sha256.lower():
            raise WeightsError(
                f"{self.source}: SHA-256 is {found}, expected {sha256}; the file is damaged or "
                "was replaced: reinstall keyact"
            )
        self.meta: dict[str, Any] = parse_meta(read_metadata(data, self.source), self.source)

        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: warnings would go to the user's terminal
        options.inter_op_num_threads = 1
        if threads is not None:
            options.intra_op_num_threads = threads
        # Three networks take turns: threads that wait for work by spinning would take the CPUs
        # from the network whose turn it is.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise WeightsError(f"{self.source}: {_one_line(error)}") from error
        self.inputs: dict[str, tuple[int | None, ...]] = {
            node.name: tuple(size if isinstance(size, int) else None for size in node.shape)
            for node in self._session.get_inputs()
        }
        self.types: dict[str, np.dtype[Any]] = {
            node.name: _dtype(node.type) for node in self._session.get_inputs()
        }
        self.outputs: tuple[str, ...] = tuple(node.name for node in self._session.get_outputs())

    def require(
        self,
        kind: str,
        inputs: Iterable[str],
        outputs: Iterable[str],
        optional: Iterable[str] = (),
    ) -> None:
        """Check that this is a network of the given kind and signature.

        Parameters
        ----------
        optional : inputs that it may have, too.

        Raises
        ------
        WeightsError : another kind, or an input or output is missing, or one input too many.
        """
        if self.meta.get("kind") != kind:
            raise WeightsError(
                f"{self.source}: its keyact metadata says kind {self.meta.get('kind')!r}, "
                f"wanted {kind!r}"
            )
        lacks = [name for name in outputs if name not in self.outputs]
        if set(inputs) != set(self.inputs) - set(optional) or lacks:
            raise WeightsError(
                f"{self.source}: has inputs {sorted(self.inputs)} and outputs "
                f"{sorted(self.outputs)}; a {kind} network has inputs {sorted(inputs)} and "
                f"outputs {sorted(outputs)}"
            )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises
        ------
        WeightsError : the network does not take these arrays, or fails on them.
        """
        try:
            values = self._session.run(None, dict(feeds))
        except Exception as error:
            raise WeightsError(f"{self.source}: {_one_line(error)}") from error
        return {name: np.asarray(value) for name, value in zip(self.outputs, values, strict=True)}


def _dtype(spoken: str) -> np.dtype[Any]:
    """Element type of ONNX Runtime's ``"tensor(float)"``; object where NumPy has none."""
    name = spoken.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype({"float": "float32", "double": "float64"}.get(name, name))
    except TypeError:  # strings, bfloat16 and inputs that are no tensors
        return np.dtype(object)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
