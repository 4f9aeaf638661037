"""Start FastPose-M from its teacher: MobileNetV2 1.75 compressed to 1.4, the pyramid taken over.

    python -m training.fastpose_m.inherit --out work/inherited.weights.h5

MoveNet Thunder is a MobileNetV2 1.75 that already sees bodies, with a thin feature pyramid on
it; a student that starts from ImageNet has to learn that from few photos. The bottlenecks of
MobileNetV2 are linear, so the residual stream of a stage may be projected on fewer directions:
those that keep most of what the next convolutions read from it. Of each expansion a subset of
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

from training.fastpose_m import data, model
from training.teachers import thunder

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
    """Fill the student (narrower) from the teacher (alpha 1.75) on ``images`` in [-1, 1]."""
    rng = np.random.default_rng(seed)

    def kernel(name: str) -> np.ndarray:
        return teacher.get_layer(name).kernel.numpy()[0, 0]

    skip_of = {tap: f"skip{i}" for i, (tap, _, _) in enumerate(model.STEPS, 1)}
    # Stage "0" is the stem: Conv1 plays the expansion, expanded_conv the rest.
    theirs = ours = images
    for stage in [(0,), *STAGES]:
        outputs = stage_outputs(teacher, theirs, stage)
        last = stage[-1]
        readers = [kernel(f"block_{b}_expand") for b in (*stage, last + 1)[1:] if b < 17]
        skip = skip_of.get(f"block_{last}_add")
        if skip:
            readers += [kernel(skip)] * 2
        if last == 16:
            readers.append(kernel("neck"))
        width = student.get_layer(name_of(stage[0], "project")).filters
        picks = rows_of(outputs[0], rng)
        mean, down, _ = basis([flat(o, picks) for o in outputs], readers, width, rng)
        for block, goal in zip(stage, outputs, strict=True):
            theirs, ours = one_block(teacher, student, block, theirs, ours, goal, mean, down, rng)
        if skip:
            fit_linear(student.get_layer(skip), ours, theirs, teacher.get_layer(skip), rng)
    fit_neck(teacher, student, theirs, ours, rng)
    copied = {f"duc{i}" for i in (1, 2, 3)} | {f"blend{i}" for i in (1, 2, 3)} | {"final", "maps"}
    for layer in student.layers:
        if layer.name.removesuffix("_dw") in copied:
            layer.set_weights(teacher.get_layer(layer.name).get_weights())


def fit_linear(layer, ours: np.ndarray, theirs: np.ndarray, goal, rng) -> None:
    """Make the student's 1x1 ``layer`` on ``ours`` give what the teacher's gives on ``theirs``."""
    rows = rows_of(ours, rng)
    target = flat(theirs, rows) @ goal.kernel.numpy()[0, 0] + goal.bias.numpy()
    weights, bias = regress(flat(ours, rows), target)
    left = ((flat(ours, rows) @ weights + bias - target) ** 2).mean() / target.var(0).mean()
    print(f"{layer.name}: loses {left:.3f}")
    layer.set_weights([weights[None, None], bias])


def fit_neck(teacher, student, theirs, ours, rng) -> None:
    neck, fold = student.get_layer("neck"), student.get_layer("fold")
    before = convolve(theirs, teacher.get_layer("neck"), relu=False)
    hidden = np.clip(before, 0, 6)
    target = convolve(hidden, teacher.get_layer("fold"), relu=False)
    rows = rows_of(target, rng)
    kept = select(flat(hidden, rows), flat(target, rows), neck.filters)
    weights, bias = regress(flat(ours, rows), flat(before, rows)[:, kept])
    neck.set_weights([weights[None, None], bias])
    hidden = convolve(ours, neck, relu=True)
    weights, bias = regress(flat(hidden, rows), flat(target, rows))
    fold.set_weights([weights[None, None], bias])
    lost = ((convolve(hidden, fold, relu=False) - target) ** 2).mean() / target.var(
        (0, 1, 2)
    ).mean()
    print(f"neck: {before.shape[-1]} -> {len(kept)} channels, loses {lost:.3f}")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--out", type=Path, default=Path("work/inherited.weights.h5"))
    parser.add_argument("--teacher-out", type=Path, default=Path("work/teacher.weights.h5"))
    parser.add_argument("--crops", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    learnt_from = {"sports18": "train", "exercises": "train", "yoga8": "train"}
    crops = data.load(args.labels, args.shared, learnt_from)
    rng = np.random.default_rng(args.seed)
    picked = rng.choice(len(crops), args.crops, replace=False)
    images = np.stack([data.augmented_sample(crops, i, HEIGHT, WIDTH, rng)[0] for i in picked])
    images = images.astype(np.float32) / 127.5 - 1
    teacher = thunder(args.shared / "weights" / "movenet_thunder_fp16.tflite", HEIGHT, WIDTH)
    normalise(teacher, images)
    student = model.build(HEIGHT, WIDTH, None)
    inherit(teacher, student, images, args.seed)
    theirs, ours = (
        net.predict(images, CHUNK, verbose=0)["maps"].ravel() for net in (teacher, student)
    )
    print(f"map logits correlate by {np.corrcoef(theirs, ours)[0, 1]:.3f}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    student.save_weights(args.out)
    teacher.save_weights(args.teacher_out)  # normalised as the student is, to distil from


if __name__ == "__main__":
    main()
