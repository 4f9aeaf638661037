"""Start FastPose-M from its teacher: MoveNet Thunder's backbone and feature pyramid.

    python -m training.fastpose_m.inherit --out work/inherited.weights.h5

MoveNet Thunder is a MobileNetV2 1.75 that already sees bodies, with a thin feature pyramid and
heads on it; a student that starts from ImageNet has to learn that from few photos. FastPose-M
begins as the same function of its upright crops, but for what Thunder does after its maps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np

from training.fastpose_m import data, model
from training.schedule import save_weights
from training.teachers import thunder

HEIGHT, WIDTH = 256, 192
CHUNK = 16
HEADS = {"final": "maps", "middle": "middle_maps", "reach": "reach_maps"}
STRENGTH, FOCUS = 0.5, 4.0
"""How the person in the middle is told from others, chosen on val before any training."""


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
    for head in HEADS:
        if head != "final":
            multiply_input(f"{head}_dw", scale)
        inner = size(f"{head}_relu")
        divide(head, inner)
        multiply_input(HEADS[head], inner)
    for name in ("blend1", "blend2", "blend3", *HEADS):
        scale = size(f"{name}_dw")
        layer = net.get_layer(f"{name}_dw")
        layer.set_weights([np.asarray(layer.get_weights()[0]) / scale[:, None]])
        multiply_input(name, scale)


def finish(net: keras.Model) -> None:
    """What Thunder does in code: whose joints these are, and scores read from its maps."""
    person = net.get_layer("person")
    person.set_weights([np.full(model.JOINTS, STRENGTH), np.float32(FOCUS)])
    kernel, bias = net.get_layer("maps").get_weights()
    net.get_layer("scores").set_weights([kernel[0, 0].T, np.zeros(model.JOINTS), bias])


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
    finish(net)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(net, args.out)


if __name__ == "__main__":
    main()
