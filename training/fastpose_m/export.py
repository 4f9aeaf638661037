"""Turn the trained FastPose-M into the ONNX file that keyact ships.

    python -m training.fastpose_m.export --run work/fastpose_m
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from training import onnx_export
from training.fastpose_m import model

DECODE = "integral"
BOX_MARGIN = 1.25


def network(height: int, width: int, weights: Path):
    net = model.build(height, width, None)
    net.load_weights(weights)
    h, w = height // model.STRIDE, width // model.STRIDE

    def function(image):
        out = net(tf.cast(image, tf.float32) / 127.5 - 1.0, training=False)
        flat = tf.reshape(tf.transpose(out["maps"], (0, 3, 1, 2)), (-1, model.JOINTS, h * w))
        heatmaps = tf.reshape(tf.nn.softmax(flat, -1), (-1, model.JOINTS, h, w))
        return heatmaps, tf.sigmoid(out["scores"])

    return net, function


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("work/fastpose_m"))
    parser.add_argument("--sigma", type=float, default=1.8)
    parser.add_argument("--out", type=Path, default=onnx_export.WEIGHTS)
    args = parser.parse_args()
    state = json.loads((args.run / "state.json").read_text())
    height, width = state["size"]
    net, function = network(height, width, args.run / "last.weights.h5")
    meta = {
        "schema": 1,
        "name": "fastpose-m",
        "kind": "pose",
        "version": "1",
        "layout": "coco17",
        "input": [height, width],
        "stride": model.STRIDE,
        "sigma": args.sigma * height / 256,
        "box_margin": BOX_MARGIN,
        "decode": DECODE,
        "preprocessing": "uint8 RGB crop; scaled to [-1, 1] inside the graph",
        "licence": "Apache-2.0",
    }
    spec = tf.TensorSpec((None, height, width, 3), tf.uint8, name="image")
    data = onnx_export.convert(function, [spec], ["heatmaps", "scores"], meta)
    noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    worst = onnx_export.check(data, function, {"image": noise}, tolerance=0.02)
    print(f"{net.count_params():,} parameters; ONNX differs by {worst:.1e}")
    onnx_export.ship(
        data,
        "fastpose-m",
        "pose",
        "Top-down COCO-17 pose after AlphaPose's FastPose on MobileNetV2",
        (Path(__file__).parent / "CARD.md").read_text("utf-8"),
        args.out,
    )


if __name__ == "__main__":
    main()
