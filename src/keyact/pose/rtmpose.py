"""RTMPose (Jiang et al., 2023) through rtmlib: ``"rtmpose"`` or ``"rtmpose:FILE.onnx"``.

Extra ``rtmpose``. rtmlib makes the crops and reads the joints out of the network's SimCC vectors;
the network itself runs in keyact's ONNX runtime, because rtmlib knows no number of threads.
Without a file rtmlib downloads its own of 17 joints, once: ``"rtmpose:lightweight"``,
``"rtmpose:balanced"`` (which ``"rtmpose"`` stands for) and ``"rtmpose:performance"``.

rtmlib (0.0.16) feeds the networks BGR, but they are trained on RGB (``bgr_to_rgb=True`` in
MMPose's configurations; https://github.com/Tau-J/rtmlib/issues/48). Here they get RGB.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.backends import optional_import
from keyact.errors import UnknownNameError, WeightsError
from keyact.formats.people import COMMON_LAYOUTS
from keyact.layouts import get_layout
from keyact.pose.crop import MAX_COORDINATE, MIN_SIDE, crop_transforms
from keyact.runtime import OnnxModel

DEFAULT = "balanced"
SPLIT = 2
"""SimCC bins per input pixel, in all published networks and in rtmlib."""
MAX_SIDE = 2**15 - 2
"""OpenCV warps no longer photo."""


class RtmPose:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    model : input (N, 3, H, W); outputs ``simcc_x`` (N, K, 2 W) and ``simcc_y`` (N, K, 2 H).
    steps : rtmlib's ``RTMPose``, for its crops and decoding.
    flip_test : average the vectors with those of the mirrored crop: slower by the factor two.

    Raises
    ------
    WeightsError : the network has another signature, or a number of joints of no known layout.
    """

    name = "rtmpose"

    def __init__(self, model: OnnxModel, steps: Any, *, flip_test: bool = False) -> None:
        self.flip_test = flip_test
        self._model = model
        self._steps = steps
        self.input_size = _input_size(model)
        height, width = self.input_size
        steps.model_input_size = (width, height)
        # The crops are BGR until `_forward` turns them.
        steps.mean, steps.std = np.array(steps.mean)[::-1], np.array(steps.std)[::-1]
        x, y = self._run(np.zeros((height, width, 3)))
        joints = x.shape[1]
        if joints not in COMMON_LAYOUTS:
            raise WeightsError(f"{model.source}: its {joints} joints are of no known layout")
        if x.shape != (1, joints, SPLIT * width) or y.shape != (1, joints, SPLIT * height):
            raise WeightsError(
                f"{model.source}: SimCC vectors of shape {x.shape} and {y.shape} do not fit an "
                f"input of {height} x {width}"
            )
        self.layout = COMMON_LAYOUTS[joints]
        self._joints = joints
        self._flip = get_layout(self.layout).flip

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        crop_transforms(boxes, self.input_size)  # refuses what is no box
        asked = _whole(boxes)
        step = -(-max(image.shape[:2]) // MAX_SIDE)
        picture = image[::step, ::step]
        poses = np.zeros((len(asked), self._joints, 3), np.float32)
        for pose, box in zip(poses, asked, strict=True):
            crop, centre, scale = self._steps.preprocess(picture, box / step)
            points, scores = self._steps.postprocess(self._forward(crop), centre, scale)
            pose[:, :2], pose[:, 2] = points[0] * step, scores[0].clip(0, 1)
        return poses

    def _forward(self, crop: NDArray[np.float64]) -> list[NDArray[np.float32]]:
        """Vectors along x and y of a BGR crop."""
        x, y = self._run(crop[..., ::-1])
        if self.flip_test:
            mirrored_x, mirrored_y = self._run(crop[:, ::-1, ::-1])
            # Joint at pixel u: bin 2 u, mirrored bin 2 (W - 1 - u), which is not the middle's.
            mirrored_x = np.roll(mirrored_x[:, self._flip, ::-1], -1, axis=2)
            half = np.float32(0.5)
            x, y = (x + mirrored_x) * half, (y + mirrored_y[:, self._flip]) * half
        return [x, y]

    def _run(self, crop: NDArray[np.float64]) -> list[NDArray[np.float32]]:
        (name,) = self._model.inputs
        feed = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        out = self._model.run({name: feed})
        return [np.asarray(out[output], np.float32) for output in self._model.outputs]


def _whole(boxes: ArrayLike) -> NDArray[np.float64]:
    """Boxes (N, 4) at least `MIN_SIDE` wide and high, as `crop_transforms` takes them."""
    asked = np.asarray(boxes, np.float64).reshape(-1, 4).clip(-MAX_COORDINATE, MAX_COORDINATE)
    centre = (asked[:, :2] + asked[:, 2:]) / 2
    half = np.maximum(asked[:, 2:] - asked[:, :2], MIN_SIDE) / 2
    return np.concatenate([centre - half, centre + half], 1)


def _input_size(model: OnnxModel) -> tuple[int, int]:
    shapes = list(model.inputs.values())
    if len(shapes) != 1 or len(model.outputs) != 2 or len(shapes[0]) != 4 or shapes[0][1] != 3:
        raise WeightsError(
            f"{model.source}: has inputs {model.inputs} and outputs {list(model.outputs)}; "
            "RTMPose has one input (N, 3, H, W) and the outputs simcc_x and simcc_y"
        )
    height, width = shapes[0][2:]
    if height is None or width is None or not all(32 <= s <= 2048 for s in (height, width)):
        raise WeightsError(f"{model.source}: the input's height and width must be given in it")
    return height, width


def load(
    source: str | None,
    *,
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> RtmPose:
    """The backend of a file, or of one of rtmlib's own networks.

    Raises
    ------
    KeyactError : the package is missing.
    UnknownNameError : a decode method (SimCC has its own), or no such network of rtmlib.
    WeightsError : the download failed; see also `RtmPose`.
    """
    if decode is not None:
        raise UnknownNameError("decode method of rtmpose", decode, ())
    rtmlib = optional_import("rtmlib", "rtmpose")
    if source is not None and source.lower().endswith(".onnx"):
        path = str(Path(source).expanduser())
        model = OnnxModel(path, threads=threads)  # says what is wrong with the file
        steps = _steps(rtmlib, path, source)
    else:
        published = rtmlib.Body.MODE
        mode = source or DEFAULT
        if mode not in published:
            raise UnknownNameError("network of rtmlib", mode, [*published, "FILE.onnx"])
        steps = _steps(rtmlib, published[mode]["pose"], f"rtmpose:{mode}")
        model = OnnxModel(str(steps.onnx_model), threads=threads)
    steps.session = None
    return RtmPose(model, steps, flip_test=flip_test)


def _steps(rtmlib: Any, path_or_url: str, name: str) -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # results may go to stdout
            return rtmlib.RTMPose(path_or_url)
    except Exception as error:  # of the network, the disk, the archive or ONNX Runtime
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise WeightsError(
            f"{name}: rtmlib could not load it: {reason}; a local file is given as "
            "rtmpose:FILE.onnx"
        ) from error
