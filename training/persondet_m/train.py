"""Train PersonDet-M. Seeded, checkpointed, resumable.

    python -m training.persondet_m.train --labels work/labels --shared ../shared \
        --run work/persondet_m --budget 25m
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
from keras import ops

from training import onnx_export
from training.backbone import freeze_until, initial_weights, mobilenet_v2
from training.onnx_import import load_shipped
from training.persondet_m import data, evaluate, model
from training.schedule import Trainer, fast_policy, save_weights


def make_loss(size: int):
    def loss(net, image, goal, positive, undecided):
        out = net(ops.cast(image, "float32") / 127.5 - 1.0, training=True)
        boxes = model.to_boxes(out["sides"], size)
        overlap, giou = overlaps(boxes, goal)
        count = ops.sum(positive) + 1.0
        box = ops.sum((1 - giou) * positive) / count
        quality = ops.stop_gradient(ops.clip(overlap, 0.0, 1.0)) * positive
        probability = ops.sigmoid(out["scores"])
        focus = ops.abs(quality - probability) ** 2 * (1 - undecided)
        cross = ops.binary_crossentropy(quality, out["scores"], from_logits=True)
        score = ops.sum(focus * cross) / count
        return {"loss": score + 2.0 * box, "score": score, "box": box}

    return loss


def overlaps(a, b):
    """IoU and generalised IoU (Rezatofighi et al. 2019) of paired boxes (..., 4)."""
    low, high = ops.maximum(a[..., :2], b[..., :2]), ops.minimum(a[..., 2:], b[..., 2:])
    both = ops.prod(ops.maximum(high - low, 0.0), -1)
    area_a = ops.prod(a[..., 2:] - a[..., :2], -1)
    area_b = ops.prod(b[..., 2:] - b[..., :2], -1)
    union = area_a + area_b - both + 1e-6
    hull = ops.prod(ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2]), -1)
    iou = both / union
    return iou, iou - (hull - union) / (hull + 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--run", type=Path, default=Path("work/persondet_m"))
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--budget", default="25m", help='minutes ("25m") or steps ("6000")')
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--eval-minutes", type=float, default=6)
    parser.add_argument(
        "--init",
        default="imagenet",
        choices=["imagenet", "random", "shipped"],
        help="shipped: go on from the released weights",
    )
    parser.add_argument("--resume", action="store_true", help="start from RUN/last.weights.h5")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.mixed_precision.set_global_policy(fast_policy())
    photos = data.load(
        args.labels, args.shared, {"sports18": "train", "exercises": "train", "yoga8": "train"}
    )
    held_out = data.load(args.labels, args.shared, {"sports18": "val", "yoga8": "val"})
    print(f"{len(photos)} photos to learn from, {len(held_out)} held out", flush=True)
    shipped = args.init == "shipped"
    net = model.build(args.size, None if shipped else initial_weights(args.init, args.shared))
    if shipped:
        load_shipped(net, onnx_export.WEIGHTS / "persondet_m.onnx")
    start = 0
    if args.resume:
        net.load_weights(args.run / "last.weights.h5")
        start = json.loads((args.run / "state.json").read_text())["step"]
    freeze_until(net, "block_3_expand_relu")
    body = {layer.name for layer in mobilenet_v2((args.size, args.size, 3), None).layers}
    head = {layer.name for layer in net.layers} - body
    trainer = Trainer(net, head, make_loss(args.size), args.rate, args.budget)

    def keep() -> None:
        found = evaluate.detect_all(
            evaluate.predictor(net, args.size), held_out, args.size, nms_iou=model.NMS_IOU
        )
        threshold, result = evaluate.best_threshold(found, held_out)
        state = {"step": start + trainer.done, "threshold": threshold, **result}
        print(json.dumps(state), flush=True)
        save_weights(net, args.run / "last.weights.h5")
        (args.run / "state.json").write_text(json.dumps(state))

    batches = data.batches(photos, args.size, args.batch, args.seed, start, args.workers)
    trainer.run(batches, keep, args.eval_minutes, what="photos")


if __name__ == "__main__":
    main()
