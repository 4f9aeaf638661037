"""Start FastPose-M's MobileNetV2 1.0 from the teacher's MobileNetV2 1.75, compressed.

    python -m training.fastpose_m.inherit --out work/inherited.weights.h5

MoveNet Thunder's backbone is a MobileNetV2 1.75 that already sees bodies; a student that
starts from ImageNet has to learn that from few photos. The bottlenecks of MobileNetV2 are
linear, so the residual stream of a stage may be projected on fewer directions: those that
keep most of what the next convolutions read from it. Of each expansion a subset of
channels is kept by forward selection, and every 1x1 convolution is refitted by least squares
on the student's own activations, so that later layers make up for earlier losses (in the
manner of channel pruning with reconstruction, He et al., ICCV 2017, and SliceGPT, Ashkboos et
al., ICLR 2024).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training.backbone import mobilenet_v2
from training.fastpose_m import data
from training.teachers import thunder_backbone

HEIGHT, WIDTH = 256, 192
ROWS = 60_000  # activations (pixels) that a least-squares fit sees
RIDGE = 1e-4
STAGES = ((1, 2), (3, 4, 5), (6, 7, 8, 9), (10, 11, 12), (13, 14, 15), (16,))
CHUNK = 16


def convolve(x: np.ndarray, layer, relu: bool) -> np.ndarray:
    """A folded convolution of the backbone, strided ones padded as Keras pads them."""
    kernel, bias = layer.kernel, layer.bias
    stride = layer.strides[0]
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    parts = []
    for start in range(0, len(x), CHUNK):
        part = tf.constant(x[start : start + CHUNK])
        if depthwise:
            y = tf.nn.depthwise_conv2d(part, kernel, [1, stride, stride, 1], "SAME")
        else:
            y = tf.nn.conv2d(part, kernel, stride, "SAME")
        y += bias
        parts.append((tf.nn.relu6(y) if relu else y).numpy())
    return np.concatenate(parts)


def select(hidden: np.ndarray, target: np.ndarray, count: int) -> np.ndarray:
    """Channels of ``hidden`` (rows, C) from which ``target`` (rows, D) is best regressed.

    Forward selection on the covariances: each step takes the channel that removes most of
    the target's remaining variance (orthogonal least squares).
    """
    hidden = hidden - hidden.mean(0)
    target = target - target.mean(0)
    gram = (hidden.T @ hidden / len(hidden)).astype(np.float64)
    cross = (hidden.T @ target / len(hidden)).astype(np.float64)
    floor = 1e-5 * np.trace(gram) / len(gram)
    free = np.ones(len(gram), bool)
    chosen = []
    for _ in range(count):
        gain = np.where(free, (cross**2).sum(1) / (np.diag(gram) + floor), -1.0)
        best = int(gain.argmax())
        free[best] = False
        chosen.append(best)
        column = gram[:, best] / (gram[best, best] + floor)
        cross -= np.outer(column, cross[best])
        gram -= np.outer(column, gram[best])
    return np.sort(chosen)


def regress(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression of rows y on rows x: kernel (Cx, Cy) and bias (Cy,)."""
    mx, my = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
    dx = (x - mx).astype(np.float64)
    gram = dx.T @ dx
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    kernel = np.linalg.solve(gram, dx.T @ (y - my))
    return kernel.astype(np.float32), (my - mx @ kernel).astype(np.float32)


def basis(streams: list[np.ndarray], readers: list[np.ndarray], width: int, rng):
    """(mean, down (C, width), up (width, C)) of a stage's residual stream.

    ``readers`` are the kernels (C, out) of the 1x1 convolutions that read the stream; the
    directions kept are the principal ones of what they read. A random rotation gives every
    kept channel the same share of the variance.
    """
    mean = np.mean([s.mean(0) for s in streams], 0)
    cov = sum(np.cov(s, rowvar=False) for s in streams) / len(streams)
    metric = sum(k @ k.T / (np.trace(k.T @ cov @ k) + 1e-9) for k in readers)
    metric += 1e-3 * np.trace(metric) / len(metric) * np.eye(len(metric))
    root = np.linalg.cholesky(metric)
    values, vectors = np.linalg.eigh(root.T @ cov @ root)
    kept = vectors[:, -width:]
    turn, _ = np.linalg.qr(rng.standard_normal((width, width)))
    down = root @ kept @ turn
    up = turn.T @ kept.T @ np.linalg.inv(root)
    size = np.sqrt(values[-width:].mean())  # so that the new channels have variance one
    print(f"  stream {len(cov)} -> {width}: keeps {values[-width:].sum() / values.sum():.3f}")
    return mean.astype(np.float32), (down / size).astype(np.float32), (up * size).astype(np.float32)


def rows_of(x: np.ndarray, rng) -> np.ndarray:
    """Which pixels of a map take part in a fit."""
    total = x.shape[0] * x.shape[1] * x.shape[2]
    return rng.choice(total, min(ROWS, total), replace=False)


def flat(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])[rows]


def inherit(teacher: keras.Model, student: keras.Model, images: np.ndarray, seed: int = 0) -> None:
    """Fill the student (alpha 1.0) from the teacher (alpha 1.75) on ``images`` in [-1, 1]."""
    rng = np.random.default_rng(seed)

    def kernel(name: str) -> np.ndarray:
        return teacher.get_layer(name).kernel.numpy()[0, 0]

    # Stage "0" is the stem: Conv1 plays the expansion, expanded_conv the rest.
    theirs = ours = images
    for stage in [(0,), *STAGES]:
        outputs = stage_outputs(teacher, theirs, stage)
        readers = [kernel(f"block_{b}_expand") for b in (*stage, stage[-1] + 1)[1:] if b < 17]
        readers.append(np.eye(outputs[0].shape[-1]))  # what the up-sampling path may read
        width = student.get_layer(name_of(stage[0], "project")).filters
        picks = rows_of(outputs[0], rng)
        mean, down, _ = basis([flat(o, picks) for o in outputs], readers, width, rng)
        for block, goal in zip(stage, outputs, strict=True):
            theirs, ours = one_block(teacher, student, block, theirs, ours, goal, mean, down, rng)


def name_of(block: int, part: str) -> str:
    if block:
        return f"block_{block}_{part}"
    return "Conv1" if part == "expand" else f"expanded_conv_{part}"


def stage_outputs(teacher, x: np.ndarray, stage: tuple[int, ...]) -> list[np.ndarray]:
    """The residual stream after each block of the stage."""
    outputs = []
    for block in stage:
        y = x
        for part in ("expand", "depthwise", "project"):
            y = convolve(y, teacher.get_layer(name_of(block, part)), relu=part != "project")
        x = x + y if block != stage[0] else y
        outputs.append(x)
    return outputs


def one_block(teacher, student, block, theirs, ours, goal, mean, down, rng):
    """Fit one block; returns both networks' streams after it."""
    expand, depthwise, project = (
        student.get_layer(name_of(block, part)) for part in ("expand", "depthwise", "project")
    )
    t_expand, t_depthwise = (
        teacher.get_layer(name_of(block, part)) for part in ("expand", "depthwise")
    )
    before_count = t_expand.bias.shape[0]
    residual = block not in {0, *(stage[0] for stage in STAGES)}
    before = convolve(theirs, t_expand, relu=False)
    hidden = convolve(np.clip(before, 0, 6), t_depthwise, relu=True)
    target = (goal - mean) @ down
    if residual:
        target = target - ours
    out_rows = rows_of(target, rng)
    kept = select(flat(hidden, out_rows), flat(target, out_rows), depthwise.kernel.shape[2])
    if block:
        rows = rows_of(before, rng)
        weights, bias = regress(flat(ours, rows), flat(before, rows)[:, kept])
        expand.set_weights([weights[None, None], bias])
    else:
        expand.set_weights([t_expand.kernel.numpy()[..., kept], t_expand.bias.numpy()[kept]])
    del before, hidden
    depthwise.set_weights([t_depthwise.kernel.numpy()[:, :, kept], t_depthwise.bias.numpy()[kept]])
    hidden = convolve(convolve(ours, expand, relu=True), depthwise, relu=True)
    weights, bias = regress(flat(hidden, out_rows), flat(target, out_rows))
    project.set_weights([weights[None, None], bias])
    after = convolve(hidden, project, relu=False)
    if residual:
        after += ours
    aim = (goal - mean) @ down
    lost = ((after - aim) ** 2).mean() / (aim**2).mean()
    print(f"block {block}: {before_count} -> {len(kept)} channels, loses {lost:.3f}")
    return goal, after


def load(net: keras.Model, path: Path) -> None:
    """Give a FastPose-M (:func:`training.fastpose_m.model.build`) the backbone in ``path``."""
    backbone = mobilenet_v2(net.input_shape[1:], None)
    backbone.load_weights(path)
    learnt = {layer.name: layer for layer in backbone.layers}
    for layer in net.layers:
        if layer.weights and layer.name in learnt:
            layer.set_weights(learnt[layer.name].get_weights())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--out", type=Path, default=Path("work/inherited.weights.h5"))
    parser.add_argument("--crops", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    learnt_from = {"sports18": "train", "exercises": "train", "yoga8": "train"}
    crops = data.load(args.labels, args.shared, learnt_from)
    rng = np.random.default_rng(args.seed)
    picked = rng.choice(len(crops), args.crops, replace=False)
    images = np.stack([data.augmented_sample(crops, i, HEIGHT, WIDTH, rng)[0] for i in picked])
    images = images.astype(np.float32) / 127.5 - 1
    teacher = thunder_backbone(
        args.shared / "weights" / "movenet_thunder_fp16.tflite", HEIGHT, WIDTH
    )
    student = mobilenet_v2((HEIGHT, WIDTH, 3), None)
    inherit(teacher, student, images, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    student.save_weights(args.out)


if __name__ == "__main__":
    main()
