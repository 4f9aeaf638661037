"""Turn the trained PersonDet-M into the ONNX file that keyact ships.

python -m training.persondet_m.export --run work/persondet_m --report results/persondet_m.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import onnx_export
from training.persondet_m import data as photos
from training.persondet_m import evaluate, model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("work/persondet_m"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--report", type=Path, help="write the figures here, too")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--out", type=Path, default=onnx_export.WEIGHTS)
    args = parser.parse_args()
    keras.mixed_precision.set_global_policy("float32")  # ONNX knows no bfloat16 here
    state = json.loads((args.run / "state.json").read_text())
    net = model.build(args.size, None)
    net.load_weights(args.run / "last.weights.h5")

    def function(image):
        out = net(tf.cast(image, tf.float32) / 127.5 - 1.0, training=False)
        return model.to_boxes(out["sides"], args.size), tf.sigmoid(out["scores"])

    held_out = photos.load(args.labels, args.shared, {"sports18": "val", "yoga8": "val"})
    found = evaluate.detect_all(
        evaluate.predictor(net, args.size), held_out, args.size, model.NMS_IOU
    )
    threshold, _ = evaluate.best_threshold(found, held_out)
    meta = {
        "schema": 1,
        "name": "persondet-m",
        "kind": "detector",
        "version": "2",
        "input": [args.size, args.size],
        "score_threshold": threshold,
        "nms_iou": model.NMS_IOU,
        "preprocessing": "uint8 RGB, letterboxed top left with grey 114; scaled inside the graph",
        "licence": "Apache-2.0",
    }
    spec = tf.TensorSpec((None, args.size, args.size, 3), tf.uint8, name="image")
    data = onnx_export.convert(function, [spec], ["boxes", "scores"], meta)
    noise = np.random.default_rng(0).integers(0, 256, (2, args.size, args.size, 3), np.uint8)
    worst = onnx_export.check(data, function, {"image": noise}, tolerance=0.02)
    print(f"{net.count_params():,} parameters; ONNX differs by {worst:.1e}")
    figures: dict[str, object] = {
        "parameters": f"{net.count_params():,}",
        "steps": state["step"],
        "score threshold (chosen on these photos)": threshold,
        **evaluate.report(found, held_out, threshold),
    }
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(json.dumps(figures, indent=1) + "\n")
    onnx_export.ship(
        data,
        "persondet-m",
        "detector",
        "Small anchor-free person detector on MobileNetV2",
        Path(__file__).parent / "CARD.md",
        figures,
        args.out,
    )


if __name__ == "__main__":
    main()
