"""Turn the trained FastPose-M into the ONNX file that keyact ships.

python -m training.fastpose_m.export --run work/two work/three --report results/fastpose_m.json

Of several runs that began at the same weights the mean is taken (model soups, Wortsman et al.,
ICML 2022), and with ``--share`` a point between those weights and the mean (WiSE-FT, Wortsman et
al., CVPR 2022). Which share and ``--size`` to take tells :mod:`training.fastpose_m.choose`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keyact.pose.decode import METHODS
from keyact.pose.onnx_pose import OnnxPose
from keyact.runtime import OnnxModel
from training import onnx_export
from training.fastpose_m import data as crops
from training.fastpose_m import evaluate, model
from training.schedule import average

DECODE_CROPS = 800  # held-out crops on which the decode method is chosen
BOX_MARGIN = 1.25  # AlphaPose's, which a file without a report has
MARGINS = 1.15, 1.2, 1.25, 1.3
CHECKED = 2  # held-out crops on which the file is compared with the network


def as_function(net: keras.Model) -> tuple[Callable, list[tf.TensorSpec]]:
    """What the ONNX file computes: uint8 crops to heatmaps that sum to 1, and scores."""
    _, height, width, _ = net.input_shape
    h, w = height // model.STRIDE, width // model.STRIDE

    def function(image):
        out = net(tf.cast(image, tf.float32) / 127.5 - 1.0, training=False)
        flat = tf.reshape(tf.transpose(out["maps"], (0, 3, 1, 2)), (-1, model.JOINTS, h * w))
        heatmaps = tf.reshape(tf.nn.softmax(flat, -1), (-1, model.JOINTS, h, w))
        return heatmaps, tf.sigmoid(out["scores"])

    return function, [tf.TensorSpec((None, height, width, 3), tf.uint8, name="image")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs="+", type=Path, default=[Path("work/fastpose_m")])
    parser.add_argument("--start", type=Path, help="the weights with which the runs began")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the runs' mean, the rest are those of --start"
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--report", type=Path, help="judge all held-out crops, write figures here")
    parser.add_argument("--size", help="HxW of the crop; by default that of the last run")
    parser.add_argument(
        "--sigma", type=float, default=1.25, help="cells by which decoding smooths; chosen on val"
    )
    parser.add_argument("--out", type=Path, default=onnx_export.WEIGHTS)
    args = parser.parse_args()
    keras.mixed_precision.set_global_policy("float32")  # ONNX knows no bfloat16 here
    trained = json.loads((args.run[-1] / "state.json").read_text())["size"]
    height, width = model.sides(args.size) if args.size else trained
    net = model.build(height, width)
    if args.start:
        net.load_weights(args.start)
    steps = average(net, args.run, args.share)
    function, spec = as_function(net)
    meta = {
        "schema": 1,
        "name": "fastpose-m",
        "kind": "pose",
        "version": "8",
        "layout": "coco17",
        "input": [height, width],
        "stride": model.STRIDE,
        "sigma": args.sigma * height / 256,
        "box_margin": BOX_MARGIN,
        "decode": "dark",
        "preprocessing": "uint8 RGB crop; scaled to [-1, 1] inside the graph",
        "licence": "Apache-2.0",
    }
    held_out = crops.load(args.labels, args.shared, {"sports18": "val", "yoga8": "val"})
    some = [crops.plain_sample(held_out, i, height, width)[0] for i in range(CHECKED)]
    # Eight bits move peaks a little: whether the graph is right is seen without them.
    for least, tolerance in ((None, 0.03), (onnx_export.LARGE, 0.2)):
        data = onnx_export.convert(function, spec, ["heatmaps", "scores"], meta, least)
        worst = onnx_export.check(data, function, {"image": np.stack(some)}, tolerance=tolerance)
    print(f"{net.count_params():,} parameters; ONNX differs by {worst:.1e}")
    figures: dict[str, object] = {
        "parameters": f"{net.count_params():,}",
        "steps": steps,
    }
    if args.report:
        for key, tried, limit, spoken in (
            ("decode", METHODS, DECODE_CROPS, f"decode method, {DECODE_CROPS} held-out crops"),
            ("box_margin", MARGINS, None, "margin round the box, held-out crops"),
        ):
            oks = {}
            for value in tried:
                backend = OnnxModel(onnx_export.with_meta(data, meta | {key: value}))
                found = evaluate.of_backend(OnnxPose(backend, "candidate"), held_out, limit)
                oks[value] = float(str(found["oks"]))
            figures[f"OKS by {spoken}"] = oks
            meta[key] = max(oks, key=oks.__getitem__)
        data = onnx_export.with_meta(data, meta)
        backend = OnnxModel(data)
        for flip in (False, True):
            estimator = OnnxPose(backend, "fastpose-m", flip_test=flip)
            key = "held-out crops, flip test" if flip else "held-out crops"
            figures[key] = evaluate.of_backend(estimator, held_out)
        turned = OnnxPose(backend, "fastpose-m")
        lying = evaluate.of_backend(turned, crops.lying(held_out), DECODE_CROPS)
        figures["held-out crops turned by 90°"] = lying
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(json.dumps(figures, indent=1) + "\n")
    onnx_export.ship(
        data,
        "fastpose-m",
        "pose",
        "Top-down COCO-17 pose after AlphaPose's FastPose on MobileNetV2",
        Path(__file__).parent / "CARD.md",
        figures,
        args.out,
    )


if __name__ == "__main__":
    main()
