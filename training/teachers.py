"""The two teacher networks that the shipped networks are distilled from.

Both are public Apache-2.0 models (see ``../shared/README.md``); neither is shipped as it is.
FastPose-M starts from Thunder's weights (:mod:`training.fastpose_m.inherit`).
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

FLIP_COCO17 = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])


class YoloxNano:
    """YOLOX-nano (Ge et al. 2021), person class only.

    Parameters
    ----------
    path : the ONNX file. Input BGR 0-255, 416 letterbox padded with 114.
    """

    size = 416

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        cells, strides = [], []
        for stride in (8, 16, 32):
            n = self.size // stride
            y, x = np.mgrid[:n, :n]
            cells.append(np.stack([x.ravel(), y.ravel()], 1))
            strides.append(np.full((n * n, 1), stride))
        self._cells = np.concatenate(cells).astype(np.float32)
        self._strides = np.concatenate(strides).astype(np.float32)

    def __call__(
        self, bgr: np.ndarray, score: float = 0.1, iou: float = 0.65
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) xyxy in pixels of ``bgr`` and their scores (N,)."""
        height, width = bgr.shape[:2]
        scale = min(self.size / height, self.size / width)
        resized = cv2.resize(bgr, (round(width * scale), round(height * scale)))
        canvas = np.full((self.size, self.size, 3), 114, np.uint8)
        canvas[: resized.shape[0], : resized.shape[1]] = resized
        blob = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        out = self._session.run(None, {self._input: blob})[0][0]
        centre = (out[:, :2] + self._cells) * self._strides
        size = np.exp(out[:, 2:4]) * self._strides
        scores = out[:, 4] * out[:, 5]
        keep = scores > score
        centre, size, scores = centre[keep] / scale, size[keep] / scale, scores[keep]
        boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
        xywh = np.concatenate([boxes[:, :2], size], 1)
        kept = cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), score, iou)
        kept = np.asarray(kept, int).reshape(-1)
        boxes = np.clip(boxes[kept], 0, [width, height, width, height])
        return boxes.astype(np.float32), scores[kept].astype(np.float32)


class MoveNetThunder:
    """MoveNet Thunder (Google 2021), averaged over mirror images and crop scales.

    Parameters
    ----------
    path : the TFLite file. Input int32 1x256x256x3 RGB, a square crop round the box.
    scales : side of the square crop over the longer side of the box.
    """

    size = 256

    def __init__(
        self, path: Path, scales: tuple[float, ...] = (1.2, 1.4), threads: int = 1
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._net = Interpreter(str(path), num_threads=threads)
        self._net.allocate_tensors()
        self._in = self._net.get_input_details()[0]["index"]
        self._out = self._net.get_output_details()[0]["index"]
        self.scales = scales

    def _forward(self, crop_rgb: np.ndarray) -> np.ndarray:
        self._net.set_tensor(self._in, crop_rgb[None].astype(np.int32))
        self._net.invoke()
        yxs = self._net.get_tensor(self._out)[0, 0]
        return yxs[:, [1, 0, 2]] * np.array([self.size, self.size, 1], np.float32)

    def __call__(self, bgr: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (17, 3) in pixels of ``bgr`` and their spread (17,) in box sides.

        Votes are weighted by the teacher's confidence; the spread (weighted standard
        deviation over the longer side of the box) tells where the teacher is unsure.
        """
        x1, y1, x2, y2 = (float(v) for v in box)
        longer = max(x2 - x1, y2 - y1)
        votes = []
        for scale in self.scales:
            side = longer * scale
            left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
            zoom = self.size / side
            matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]], np.float32)
            crop = cv2.warpAffine(
                bgr, matrix, (self.size, self.size),
                flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR,
            )[:, :, ::-1]  # fmt: skip
            for mirrored in (False, True):
                points = self._forward(crop[:, ::-1] if mirrored else crop)
                if mirrored:
                    points[:, 0] = self.size - 1 - points[:, 0]
                    points = points[FLIP_COCO17]
                points[:, :2] = points[:, :2] / zoom + [left, top]
                votes.append(points)
        stack = np.stack(votes)
        weight = stack[..., 2:] + 1e-3
        mean = (stack[..., :2] * weight).sum(0) / weight.sum(0)
        spread = np.sqrt((((stack[..., :2] - mean) ** 2) * weight).sum(0) / weight.sum(0)).mean(-1)
        points = np.concatenate([mean, stack[..., 2:].mean(0)], 1)
        return points.astype(np.float32), (spread / longer).astype(np.float32)


# What a layer of FastPose-M is called in Thunder's graph; "_dw" marks a depthwise convolution.
_THUNDER_LAYERS = {
    r"/model_1/model/Conv_1/": "neck",
    r"/model_1/conv2d/": "fold",
    r"/model_1/conv2d_1/": "skip1",
    r"/model_1/conv2d_2/": "skip2",
    r"/model_1/conv2d_3/": "skip3",
    r"/model_1/separable_conv2d/": "blend1",
    r"/model_1/separable_conv2d_1/": "blend2",
    r"/model_1/separable_conv2d_2/": "blend3",
    r"/kpt_heatmap_0/separable_conv2d_4/": "final",
    r"/kpt_heatmap_0/conv2d_5/": "maps",
    r"/center_0/separable_conv2d_3/": "middle",
    r"/center_0/conv2d_4/": "middle_maps",
    r"/kpt_regress_0/separable_conv2d_5/": "reach",
    r"/kpt_regress_0/conv2d_6/": "reach_maps",
}


def thunder(path: Path, height: int, width: int):
    """MoveNet Thunder's feature pyramid and heatmaps as a Keras model of FastPose-M's form.

    MobileNetV2 1.75, batch norm folded. Input RGB / 127.5 - 1 (N, height, width, 3). The
    up-sampling is Thunder's bilinear one, written as convolution and pixel shuffle; joint scores
    are not Thunder's and stay random.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from training.fastpose_m import model

    # A delegate would keep the unpacked weights to itself.
    net = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    net.allocate_tensors()
    names = {d["index"]: d["name"] for d in net.get_tensor_details()}
    net.set_tensor(net.get_input_details()[0]["index"], np.zeros((1, 256, 256, 3), np.int32))
    net.invoke()  # the weights are stored as float16 and unpacked by running
    copy = model.build(height, width)
    for operation in net._get_ops_details():
        kind = operation["op_name"]
        if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        name = names[operation["outputs"][0]]
        backbone = re.search(r"/model_1/model/(\w+)/(?:Conv2D|depthwise)", name)
        layer = next((v for k, v in _THUNDER_LAYERS.items() if re.search(k, name)), None)
        if layer is None and backbone is None:  # of the offset maps
            continue
        layer = layer or backbone.group(1)
        # TFLite has (out, h, w, in), and (1, h, w, channels) for depthwise ones.
        kernel = net.get_tensor(operation["inputs"][1]).transpose(1, 2, 3, 0)
        bias = net.get_tensor(operation["inputs"][2])
        if layer.startswith(("blend", "final", "middle", "reach")) and kind == "DEPTHWISE_CONV_2D":
            copy.get_layer(f"{layer}_dw").set_weights([kernel])
        else:
            copy.get_layer(layer).set_weights([kernel, bias])
    for step, (_, channels, _) in enumerate(model.STEPS, 1):
        copy.get_layer(f"duc{step}").set_weights([bilinear(channels), np.zeros(4 * channels)])
    return copy


def bilinear(channels: int) -> np.ndarray:
    """Kernel (3, 3, c, 4c) that doubles a map bilinearly when a pixel shuffle follows it."""
    line = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
    plane = np.einsum("ay,bx->yxab", line, line)
    kernel = np.einsum("yxab,io->yxiabo", plane, np.eye(channels))
    return kernel.reshape(3, 3, channels, 4 * channels).astype(np.float32)
