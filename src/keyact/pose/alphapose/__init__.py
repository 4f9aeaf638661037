"""AlphaPose's own FastPose networks, converted to ONNX by ``keyact alphapose convert``.

Crops, heatmap decoding, flip test, the way back to the photo and pose NMS are AlphaPose's (Fang
et al., TPAMI 2022), so that a user's checkpoint gives here what it gives there. An ``.onnx`` file
of this family is known by ``"family": "alphapose"`` in its metadata; it loads by its path alone
as well as by ``"alphapose:FILE"``. Input ``image`` uint8 (N, H, W, 3) RGB, output ``heatmaps``
(N, K, H / 4, W / 4); the metadata gives ``layout``, ``input``, ``head`` and ``sigma``.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact import weights
from keyact.errors import UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.pose.alphapose.crop import crop, crop_frames
from keyact.pose.alphapose.network import FINE_JOINTS, HEADS, STRIDE
from keyact.pose.alphapose.nms import alphapose_nms, constants_for
from keyact.pose.crop import to_photo
from keyact.pose.decode import METHODS, decode
from keyact.pose.nms import MergedPoses
from keyact.pose.onnx_pose import BATCH
from keyact.runtime import OnnxModel

__all__ = ["AlphaPose", "decode_heatmaps", "decode_regression", "load"]

Floats = NDArray[np.floating]


class AlphaPose:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    model : its metadata must say ``"family": "alphapose"``.
    name : what to call it.
    flip_test : average the maps with those of the mirrored crops.
    flip_shift : move the mirrored maps one cell to the right before that, as AlphaPose does,
        because its crops do not mirror onto themselves.
    decode : None takes AlphaPose's own; for a heatmap head, and the body of a combined one, also
        one of `keyact.pose.decode.METHODS`, where ``"quarter"`` is AlphaPose's own.

    Raises
    ------
    WeightsError : metadata or signature of another kind of network.
    UnknownNameError : no such decode method for this head.
    """

    def __init__(
        self,
        model: OnnxModel,
        name: str,
        *,
        flip_test: bool = False,
        flip_shift: bool = True,
        decode: str | None = None,
    ) -> None:
        model.require("pose", inputs=("image",), outputs=("heatmaps",))
        meta = model.meta
        if meta.get("family") != "alphapose":
            raise WeightsError(
                f"{model.source}: a pose network, but not one of AlphaPose's; give the file alone, "
                f"as --pose {model.source}"
            )
        try:
            layout = get_layout(str(meta["layout"]))
            height, width = (int(side) for side in meta["input"])
            self.sigma = float(meta["sigma"])
            self.margin = float(meta["box_margin"])
            self.head = str(meta["head"])
        except (KeyError, TypeError, ValueError, UnknownNameError) as error:
            raise WeightsError(f"{model.source}: bad AlphaPose metadata ({error!r})") from error
        if not (
            all(32 <= side <= 2048 and side % 32 == 0 for side in (height, width))
            and 0 < self.sigma <= 64
            and 0.5 <= self.margin <= 10
            and self.head in HEADS
            and (self.head != "combined" or len(layout) in FINE_JOINTS)
        ):
            raise WeightsError(f"{model.source}: AlphaPose metadata out of range: {meta}")
        own, methods = ("integral", ()) if self.head == "regression" else ("quarter", METHODS)
        if decode is not None and decode not in (own, *methods):
            raise UnknownNameError(f"decode method of a {self.head} head", decode, {own, *methods})
        self.name = name
        self.layout = layout.name
        self.flip_test = flip_test
        self.flip_shift = flip_shift
        self.decode = decode or own
        self.input_size = (height, width)
        self._model = model
        self._joints = len(layout)
        self._flip = layout.flip

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        centres, widths = crop_frames(boxes, self.input_size, self.margin)
        zooms = self.input_size[1] / widths[:, None].astype(np.float64)
        # Cell i lies at input pixel 4 i, and the box's centre at (W / 2, H / 2).
        transforms = np.hstack([zooms, centres - np.array(self.input_size[::-1]) / 2 / zooms])
        poses = np.zeros((len(transforms), self._joints, 3), np.float32)
        for start in range(0, len(transforms), BATCH):
            chunk = slice(start, start + BATCH)
            frames = zip(centres[chunk], widths[chunk], strict=True)
            crops = np.stack([crop(image, *frame, self.input_size) for frame in frames])
            cells, scores = self._decode(self._forward(crops[..., ::-1]))
            poses[chunk, :, :2] = to_photo(cells * STRIDE, transforms[chunk])
            poses[chunk, :, 2] = scores.clip(0, 1)
        return poses

    def suppress(
        self, keypoints: ArrayLike, box_scores: ArrayLike, boxes: ArrayLike
    ) -> MergedPoses:
        """AlphaPose's pose NMS with the constants of this network; see `keyact.pose.nms`."""
        return alphapose_nms(keypoints, boxes, constants_for(self._joints, self.head))

    def _decode(self, maps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        if self.head == "regression":
            return decode_regression(maps)
        if self.head == "combined":
            body = self._joints - FINE_JOINTS[self._joints]
            coarse, fine = self._peaks(maps[:, :body]), decode_regression(maps[:, body:])
            return np.concatenate([coarse[0], fine[0]], 1), np.concatenate([coarse[1], fine[1]], 1)
        return self._peaks(maps)

    def _peaks(self, maps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        if self.decode == "quarter":
            return decode_heatmaps(maps)
        return decode(maps, self.decode, self.sigma)

    def _forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Maps (N, K, h, w) of RGB crops (N, H, W, 3)."""
        maps = self._run(crops)
        if self.flip_test:
            mirrored = self._run(crops[:, :, ::-1])[:, self._flip, :, ::-1]
            if self.flip_shift:  # the first column stays
                mirrored = np.concatenate([mirrored[..., :1], mirrored[..., :-1]], -1)
            maps = (maps + mirrored) * np.float32(0.5)
        return maps

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        out = self._model.run({"image": np.ascontiguousarray(crops)})
        maps = np.asarray(out["heatmaps"], np.float32)
        size = tuple(side // STRIDE for side in self.input_size)
        if maps.shape != (len(crops), self._joints, *size):
            raise WeightsError(
                f"{self._model.source}: heatmaps of shape {maps.shape} do not fit the "
                f"{self._joints} joints of layout {self.layout}"
            )
        return maps


def load(
    source: str | None,
    *,
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> AlphaPose:
    """The estimator of a converted file.

    Raises
    ------
    WeightsError : no file, or not one that ``keyact alphapose convert`` made.
    """
    if source is None or not source.lower().endswith(".onnx"):
        raise WeightsError(
            f"alphapose{f':{source}' if source else ''}: give a converted network as "
            f"alphapose:FILE.onnx; make it by: keyact alphapose convert "
            f"{source or 'CHECKPOINT.pth'} -o fastpose.onnx"
        )
    entry = weights.resolve("pose", source)
    model = OnnxModel(entry.path, threads=threads)
    return AlphaPose(model, entry.name, flip_test=flip_test, decode=decode)


def decode_heatmaps(maps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The strongest cell, a quarter cell towards the stronger neighbour on each axis.

    Unlike ``"quarter"`` of `keyact.pose.decode`: a peak in the two first or the last column or
    row is not moved on either axis, and a map without a positive value gives cell (0, 0).

    Parameters
    ----------
    maps : (N, K, h, w), h and w at least 4.

    Returns
    -------
    cells : (N, K, 2) x and y in cells.
    scores : (N, K) the largest value of each map.
    """
    cells, peak = decode(maps, "argmax")
    height, width = maps.shape[2:]
    x, y = cells[..., 0].astype(np.intp), cells[..., 1].astype(np.intp)
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    column, row = x.clip(1, width - 2), y.clip(1, height - 2)
    person, joint = np.ogrid[: maps.shape[0], : maps.shape[1]]
    slope = np.stack(
        [
            maps[person, joint, row, column + 1] - maps[person, joint, row, column - 1],
            maps[person, joint, row + 1, column] - maps[person, joint, row - 1, column],
        ],
        -1,
    )
    cells = (cells + 0.25 * np.sign(slope) * inner[..., None]) * (peak > 0)[..., None]
    return cast("NDArray[np.float64]", cells), peak


def decode_regression(maps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Symmetric integral regression: the mean cell of the sigmoid's mass, its maximum as score.

    The two normalisations of Fang et al., TPAMI 2022: each cell by a sigmoid, whose maximum is
    the joint's confidence, then the map to a sum of one.

    Parameters
    ----------
    maps : (N, K, h, w) before the sigmoid.

    Returns
    -------
    cells : (N, K, 2) x and y in cells.
    scores : (N, K) in 0 to 1.
    """
    height, width = maps.shape[2:]
    small = np.exp(-np.abs(maps, dtype=np.float64))  # never overflows
    mass = np.where(maps >= 0, 1, small) / (1 + small)
    total = np.maximum(mass.sum((2, 3)), np.finfo(np.float64).tiny)
    x = mass.sum(2) @ np.arange(width) / total
    y = mass.sum(3) @ np.arange(height) / total
    return np.stack([x, y], -1), mass.max((2, 3)).astype(np.float32)
