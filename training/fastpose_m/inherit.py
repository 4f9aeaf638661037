"""Start FastPose-M from its teacher: MoveNet Thunder's backbone and feature pyramid.

    python -m training.fastpose_m.inherit --out work/inherited.weights.h5

MoveNet Thunder is a MobileNetV2 1.75 that already sees bodies, with a thin feature pyramid on
it; a student that starts from ImageNet has to learn that from few photos. Thunder's own input is a
square of 256 pixels: in FastPose-M's upright crops it is at first no better than a smaller network
that was trained on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np

from training.fastpose_m import data
from training.schedule import save_weights
from training.teachers import thunder

HEIGHT, WIDTH = 256, 192
CHUNK = 16


def normalise(net: keras.Model, images: np.ndarray) -> None:
    """Give every channel of the pyramid unit size, the function staying what it is.

    Thunder's maps reach hundreds and its kernels are tiny: a gradient step that suits one
    layer would wreck another.
    """

    def size(name: str) -> np.ndarray:
        inner = keras.Model(net.input, net.get_layer(name).output)
        return np.sqrt(np.square(inner.predict(images, CHUNK, verbose=0)).mean((0, 1, 2))) + 1e-3

    def divide(name: str, scale: np.ndarray) -> None:
        layer = net.get_layer(name)
        layer.set_weights([np.asarray(w) / scale for w in layer.get_weights()])

    def multiply_input(name: str, scale: np.ndarray) -> None:
        layer = net.get_layer(name)
        kernel, *bias = layer.get_weights()
        layer.set_weights([kernel * scale[:, None], *bias])

    for step in (1, 2, 3):
        before = "fold" if step == 1 else f"blend{step - 1}"
        scale = size(before if step == 1 else f"{before}_relu")
        divide(before, scale)
        multiply_input(f"duc{step}", scale)
        scale = size(f"add{step}")
        divide(f"duc{step}", np.tile(scale, 4))  # of the four cells that a pixel shuffle makes
        divide(f"skip{step}", scale)
        multiply_input(f"blend{step}_dw", scale)
    scale = size("blend3_relu")
    divide("blend3", scale)
    multiply_input("final_dw", scale)
    scale = size("final_relu")
    divide("final", scale)
    multiply_input("maps", scale)
    for name in ("blend1", "blend2", "blend3", "final"):
        scale = size(f"{name}_dw")
        layer = net.get_layer(f"{name}_dw")
        layer.set_weights([np.asarray(layer.get_weights()[0]) / scale[:, None]])
        multiply_input(name, scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--out", type=Path, default=Path("work/inherited.weights.h5"))
    parser.add_argument("--crops", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    learnt_from = {"sports18": "train", "exercises": "train", "yoga8": "train"}
    crops = data.load(args.labels, args.shared, learnt_from)
    rng = np.random.default_rng(args.seed)
    picked = rng.choice(len(crops), args.crops, replace=False)
    images = np.stack([data.augmented_sample(crops, i, HEIGHT, WIDTH, rng)[0] for i in picked])
    net = thunder(args.shared / "weights" / "movenet_thunder_fp16.tflite", HEIGHT, WIDTH)
    normalise(net, images.astype(np.float32) / 127.5 - 1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(net, args.out)


if __name__ == "__main__":
    main()
