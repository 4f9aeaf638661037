"""MoveNet for one person (Google, 2021), Lightning or Thunder: ``"movenet:FILE"``.

The file is ``.tflite``, run by LiteRT (extra ``movenet``), or ``.onnx`` as tf2onnx makes it. Input
(1, S, S, 3) RGB 0 to 255; output (1, 1, 17, 3) rows of y, x and score, fractions of the crop. The
crop is a square round the box, as in the networks' training.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.backends import optional_import, without_native_chatter
from keyact.errors import InputError, UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.pose.crop import crop_people, crop_transforms, to_photo
from keyact.pose.flip import average_mirrored
from keyact.runtime import OnnxModel
from keyact.weights import read_model_file

MARGIN = 1.25
"""Side of the crop over the longer side of the box."""

_INPUT_TYPES = ("uint8", "int32", "float32")  # of the quantised, the float and other exports
_CHUNK = 8  # crops in memory at a time


class Network(NamedTuple):
    """One network of the signature above; ``run`` may be called from one thread at a time."""

    run: Callable[[NDArray[Any]], NDArray[np.float32]]
    size: int
    dtype: np.dtype[Any]
    source: str


class MoveNet:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    network : see `read_network`.
    flip_test : average with the pose in the mirrored crop: slower by the factor two.
    """

    name = "movenet"
    layout = "coco17"

    def __init__(self, network: Network, *, flip_test: bool = False) -> None:
        self.flip_test = flip_test
        self.input_size = (network.size, network.size)
        self._network = network
        self._flip = get_layout(self.layout).flip
        self._lock = threading.Lock()

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        transforms = crop_transforms(boxes, self.input_size, MARGIN)
        poses = np.zeros((len(transforms), 17, 3), np.float32)
        for start in range(0, len(transforms), _CHUNK):
            chunk = transforms[start : start + _CHUNK]
            crops = crop_people(image, chunk, self.input_size)[..., ::-1]
            points = np.stack([self._in_crop(crop) for crop in crops])
            poses[start : start + _CHUNK, :, :2] = to_photo(points[..., :2], chunk)
            poses[start : start + _CHUNK, :, 2] = points[..., 2].clip(0, 1)
        return poses

    def _in_crop(self, crop: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(17, 3) in pixels of an RGB crop."""
        points = self._run(crop)
        if self.flip_test:
            mirrored = self._run(crop[:, ::-1])
            points = average_mirrored(points, mirrored, self._flip, self._network.size)
        return points

    def _run(self, crop: NDArray[np.uint8]) -> NDArray[np.float64]:
        feed = np.ascontiguousarray(crop[None], self._network.dtype)
        with self._lock:  # an interpreter keeps its tensors between the calls
            out = self._network.run(feed)
        if out.shape != (1, 1, 17, 3):
            raise WeightsError(
                f"{self._network.source}: gives {out.shape}, but MoveNet for one person gives "
                "(1, 1, 17, 3); the multi-pose network is not supported"
            )
        rows = np.nan_to_num(out[0, 0].astype(np.float64))
        scale = self._network.size
        return np.stack([rows[:, 1] * scale - 0.5, rows[:, 0] * scale - 0.5, rows[:, 2]], 1)


def read_network(path: Path, threads: int | None = None) -> Network:
    """A network from a ``.tflite`` or ``.onnx`` file.

    Raises
    ------
    WeightsError : it cannot be read or has another signature.
    KeyactError : a ``.tflite`` file without LiteRT.
    """
    network = (_onnx if path.suffix.lower() == ".onnx" else _tflite)(path, threads)
    if network.dtype.name not in _INPUT_TYPES or not 32 <= network.size <= 2048:
        raise WeightsError(
            f"{path}: input of {network.dtype} and side {network.size} is not MoveNet's"
        )
    return network


def _side(shape: tuple[int | None, ...], source: str) -> int:
    if len(shape) != 4 or shape[0] not in (1, None) or shape[3] != 3 or shape[1] != shape[2]:
        raise WeightsError(
            f"{source}: input of shape {shape}, but MoveNet for one person takes (1, S, S, 3)"
        )
    return shape[1] or 0  # free in the multi-pose network, whose tflite files say 1


def _onnx(path: Path, threads: int | None) -> Network:
    model = OnnxModel(path, threads=threads)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise WeightsError(f"{path}: MoveNet has one input and one output")
    ((name, shape),) = model.inputs.items()

    def run(feed: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(model.run({name: feed})[model.outputs[0]], np.float32)

    return Network(run, _side(shape, model.source), model.types[name], model.source)


def _tflite(path: Path, threads: int | None) -> Network:
    data = read_model_file(path)
    litert = optional_import("ai_edge_litert.interpreter", "movenet")
    try:
        with without_native_chatter():
            net = litert.Interpreter(model_content=data, num_threads=threads)
            net.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise WeightsError(f"{path}: not a TFLite network: {reason}") from error
    inputs, outputs = net.get_input_details(), net.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise WeightsError(f"{path}: MoveNet has one input and one output")

    def run(feed: NDArray[Any]) -> NDArray[np.float32]:
        try:
            net.set_tensor(inputs[0]["index"], feed)
            net.invoke()
        except (ValueError, RuntimeError) as error:
            raise WeightsError(f"{path}: {error}") from error
        return np.asarray(net.get_tensor(outputs[0]["index"]), np.float32)

    shape = tuple(int(side) for side in inputs[0]["shape"])
    return Network(run, _side(shape, str(path)), np.dtype(inputs[0]["dtype"]), str(path))


def load(
    source: str | None,
    *,
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> MoveNet:
    """The backend of a file.

    Raises
    ------
    InputError : no file was named.
    UnknownNameError : a decode method: the network decodes itself.
    WeightsError, KeyactError : see `read_network`.
    """
    if source is None:
        raise InputError("movenet needs a network: type movenet:FILE.tflite or movenet:FILE.onnx")
    if decode is not None:
        raise UnknownNameError("decode method of movenet", decode, ())
    return MoveNet(read_network(Path(source).expanduser(), threads), flip_test=flip_test)
