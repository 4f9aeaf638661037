"""Train FastPose-M. Seeded, checkpointed, resumable.

    python -m training.fastpose_m.train --labels work/labels --shared ../shared \
        --run work/fastpose_m --phases 192x144:40:1e-3 256x192:25:5e-4

A phase is HxW:minutes-or-steps:learning-rate ("40m" minutes, "9000" steps). The learning
rate falls along a cosine within a phase; the backbone learns at 0.3 of it and its first
blocks (to stride 8) stay as ImageNet left them. Weights are averaged (EMA) and the averaged
ones are evaluated on held-out crops (sports18 val, yoga8 val) and kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training.backbone import freeze_until
from training.fastpose_m import data, evaluate, model

BACKBONE_RATE = 0.3
EMA = 0.999
WARM_UP = 200


def targets(xy, spread, h: int, w: int, sigma: float):
    """Normalised Gaussians (N, h, w, 17) round xy (N, 17, 2) in crop pixels, and who is inside."""
    centre = (xy - (model.STRIDE - 1) / 2) / model.STRIDE
    width = tf.clip_by_value(spread / model.STRIDE, 0.0, sigma)[..., None]
    var = sigma**2 + width**2
    gx = tf.exp(-((tf.range(w, dtype=tf.float32) - centre[..., :1]) ** 2) / (2 * var))
    gy = tf.exp(-((tf.range(h, dtype=tf.float32) - centre[..., 1:]) ** 2) / (2 * var))
    limit = tf.constant([w, h], tf.float32) - 0.5
    inside = tf.reduce_all((centre > -0.5) & (centre < limit), -1)
    maps = tf.einsum("njy,njx->nyxj", gy, gx)
    maps /= tf.reduce_sum(maps, (1, 2), keepdims=True) + 1e-9
    return maps, tf.cast(inside, tf.float32)


def make_step(net, head_optimizer, body_optimizer, head, body, h, w, sigma):
    @tf.function(jit_compile=False)
    def step(image, xy, score, spread):
        goal, inside = targets(xy, spread, h, w, sigma)
        weight = inside * tf.where(score > 0.12, score, 0.0)
        with tf.GradientTape() as tape:
            out = net(tf.cast(image, tf.float32) / 127.5 - 1.0, training=True)
            logits = tf.reshape(out["maps"], (-1, h * w, model.JOINTS))
            flat = tf.reshape(goal, (-1, h * w, model.JOINTS))
            cross = -tf.reduce_sum(flat * tf.nn.log_softmax(logits, axis=1), 1)
            place = tf.reduce_sum(cross * weight) / (tf.reduce_sum(weight) + 1e-6)
            belief = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(score * inside, out["scores"])
            )
            loss = place + 0.5 * belief
        grads = tape.gradient(loss, head + body)
        grads, _ = tf.clip_by_global_norm(grads, 5.0)
        head_optimizer.apply(grads[: len(head)], head)
        body_optimizer.apply(grads[len(head) :], body)
        return place, belief

    return step


def run_phase(args, net, crops, held_out, height, width, budget, rate, state) -> None:
    h, w = height // model.STRIDE, width // model.STRIDE
    sigma = args.sigma * height / 256
    in_head = {id(v) for v in state["head"]}
    heads = keras.optimizers.AdamW(rate, weight_decay=1e-4, beta_2=0.99)
    bodies = keras.optimizers.AdamW(rate * BACKBONE_RATE, weight_decay=1e-4, beta_2=0.99)
    head = [v for v in net.trainable_variables if id(v) in in_head]
    body = [v for v in net.trainable_variables if id(v) not in in_head]
    heads.build(head)
    bodies.build(body)
    step = make_step(net, heads, bodies, head, body, h, w, sigma)
    minutes = float(budget[:-1]) if budget.endswith("m") else None
    total = None if minutes else int(budget)
    source = data.batches(crops, args.batch, height, width, args.seed, state["step"])
    started, done, losses = time.time(), 0, []
    ema = [tf.Variable(v) for v in net.weights]
    last_eval = time.time()
    while True:
        part = (time.time() - started) / (60 * minutes) if minutes else done / total
        if part >= 1:
            break
        factor = min(1.0, (done + 1) / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * part)) + 1e-3
        heads.learning_rate.assign(rate * factor)
        bodies.learning_rate.assign(rate * BACKBONE_RATE * factor)
        image, *labels = next(source)
        place, belief = step(image, *(np.asarray(a, np.float32) for a in labels))
        losses.append((float(place), float(belief)))
        done += 1
        state["step"] += 1
        decay = min(EMA, (done + 1) / (done + 10))
        if done % 4 == 0:
            for average, value in zip(ema, net.weights, strict=True):
                average.assign(decay**4 * average + (1 - decay**4) * value)
        if done % 100 == 0:
            speed = done * args.batch / (time.time() - started)
            mean = np.mean(losses[-100:], 0)
            print(f"{height}x{width} step {state['step']} part {part:.3f} place {mean[0]:.3f} belief {mean[1]:.3f} {speed:.0f} crops/s", flush=True)
        if time.time() - last_eval > 60 * args.eval_minutes:
            last_eval = time.time()
            keep(args, net, ema, held_out, height, width, state)
    state["samples"] += done * args.batch
    keep(args, net, ema, held_out, height, width, state)
    for value, average in zip(net.weights, ema, strict=True):
        value.assign(average)


def keep(args, net, ema, held_out, height, width, state) -> None:
    """Evaluate the averaged weights on held-out crops and write them, atomically."""
    now = [v.numpy() for v in net.weights]
    for value, average in zip(net.weights, ema, strict=True):
        value.assign(average)
    scores = evaluate.against_teacher(net, held_out, height, width, limit=600)
    print(json.dumps({"step": state["step"], "size": [height, width], **scores}), flush=True)
    part = args.run / "partial.weights.h5"
    net.save_weights(part)
    part.replace(args.run / "last.weights.h5")
    (args.run / "state.json").write_text(json.dumps({"step": state["step"], "size": [height, width], **scores}))
    for value, old in zip(net.weights, now, strict=True):
        value.assign(old)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--run", type=Path, default=Path("work/fastpose_m"))
    parser.add_argument("--phases", nargs="+", default=["192x144:35m:1.5e-3", "256x192:30m:7e-4"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--sigma", type=float, default=1.8, help="cells of stride 4, at height 256")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-minutes", type=float, default=5)
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--resume", action="store_true", help="start from RUN/last.weights.h5")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.mixed_precision.set_global_policy(args.precision)
    imagenet = args.shared / "weights" / "mobilenetv2_imagenet_notop_folded.weights.h5"
    crops = data.load(
        args.labels, args.shared, {"sports18": "train", "exercises": "train", "yoga8": "train"}
    )
    held_out = data.load(args.labels, args.shared, {"sports18": "val", "yoga8": "val"})
    print(f"{len(crops)} crops to learn from, {len(held_out)} held out", flush=True)
    state = {"step": 0, "samples": 0}
    previous = None
    if args.resume:
        state["step"] = json.loads((args.run / "state.json").read_text())["step"]
        previous = args.run / "last.weights.h5"
    for phase in args.phases:
        size, budget, rate = phase.split(":")
        height, width = (int(v) for v in size.split("x"))
        net = model.build(height, width, imagenet)
        if previous:
            net.load_weights(previous)
        freeze_until(net, "block_3_expand_relu")
        body_names = {layer.name for layer in keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(height, width, 3)).layers}
        state["head"] = [
            v for layer in net.layers if layer.name not in body_names for v in layer.trainable_variables
        ]
        run_phase(args, net, crops, held_out, height, width, budget, float(rate), state)
        previous = args.run / "last.weights.h5"


if __name__ == "__main__":
    main()
