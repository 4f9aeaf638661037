"""A top-down pose network in one ONNX file: FastPose-M, or a user's own.

Input ``image`` uint8 (N, H, W, 3) RGB crops; outputs ``heatmaps`` (N, K, H / stride,
W / stride) and, if the network has them, ``scores`` (N, K) in 0 to 1 (else a joint's score is
the largest value of its map). The metadata gives ``layout``, ``input`` ``[H, W]``, ``stride``,
``sigma`` (cells), ``box_margin`` and ``decode``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.errors import UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.pose.crop import cells_to_input, crop_people, crop_transforms, to_photo
from keyact.pose.decode import METHODS, decode
from keyact.runtime import OnnxModel

BATCH = 8  # crops per run: enough to fill the threads, and memory stays bounded in a crowd


class OnnxPose:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    model : its metadata must say ``"kind": "pose"``.
    name : what to call it.
    flip_test : also run the mirrored crops and average the two heatmaps, left and right
        joints swapped back: slower by the factor two, a little more exact.
    decode : one of `keyact.pose.decode.METHODS`; None takes the network's own.

    Raises
    ------
    WeightsError : metadata or signature of another kind of network.
    UnknownNameError : no such decode method.
    """

    def __init__(
        self,
        model: OnnxModel,
        name: str,
        *,
        flip_test: bool = False,
        decode: str | None = None,
    ) -> None:
        model.require("pose", inputs=("image",), outputs=("heatmaps",))
        if decode is not None and decode not in METHODS:
            raise UnknownNameError("decode method", decode, METHODS)
        self.name = name
        self.flip_test = flip_test
        self._model = model
        meta = model.meta
        try:
            layout = get_layout(str(meta["layout"]))
            height, width = (int(side) for side in meta["input"])
            self.stride = float(meta.get("stride", 4))
            self.sigma = float(meta["sigma"])
            self.margin = float(meta.get("box_margin", 1.25))
            own_decode = str(meta.get("decode", "dark"))
        except (KeyError, TypeError, ValueError, UnknownNameError) as error:
            raise WeightsError(f"{model.source}: bad pose metadata ({error!r})") from error
        if not (
            all(16 <= side <= 2048 for side in (height, width))
            and 1 <= self.stride <= 64
            and 0 < self.sigma <= 64
            and 0.5 <= self.margin <= 10
            and own_decode in METHODS
        ):
            raise WeightsError(f"{model.source}: pose metadata out of range: {meta}")
        self.layout = layout.name
        self.input_size = (height, width)
        self.decode = decode or own_decode
        self._joints = len(layout)
        self._flip = layout.flip

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        transforms = crop_transforms(boxes, self.input_size, self.margin)
        poses = np.zeros((len(transforms), self._joints, 3), np.float32)
        for start in range(0, len(transforms), BATCH):
            chunk = transforms[start : start + BATCH]
            crops = crop_people(image, chunk, self.input_size)[..., ::-1]
            heatmaps, scores = self._forward(crops)
            cells, peak = decode(heatmaps, self.decode, self.sigma)
            points = to_photo(cells_to_input(cells, self.stride), chunk)
            poses[start : start + BATCH, :, :2] = points
            poses[start : start + BATCH, :, 2] = (peak if scores is None else scores).clip(0, 1)
        return poses

    def _forward(
        self, crops: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Heatmaps (N, K, h, w) and scores (N, K) of RGB crops (N, H, W, 3)."""
        heatmaps, scores = self._run(crops)
        if self.flip_test:
            mirrored, mirrored_scores = self._run(crops[:, :, ::-1])
            heatmaps = (heatmaps + mirrored[:, self._flip, :, ::-1]) * np.float32(0.5)
            if scores is not None and mirrored_scores is not None:
                scores = (scores + mirrored_scores[:, self._flip]) * np.float32(0.5)
        return heatmaps, scores

    def _run(
        self, crops: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        out = self._model.run({"image": np.ascontiguousarray(crops)})
        heatmaps = np.asarray(out["heatmaps"], np.float32)
        if heatmaps.ndim != 4 or heatmaps.shape[1] != self._joints:
            raise WeightsError(
                f"{self._model.source}: heatmaps of shape {heatmaps.shape} do not fit the "
                f"{self._joints} joints of layout {self.layout}"
            )
        return heatmaps, out.get("scores")
