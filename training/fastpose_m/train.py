"""Train FastPose-M. Seeded, checkpointed, resumable.

    python -m training.fastpose_m.inherit
    python -m training.fastpose_m.train --labels work/labels --shared ../shared \
        --run work/fastpose_m --phases 224x224:60m:5e-5

A phase is HxW:budget:learning-rate, the budget in minutes ("40m") or steps ("9000"). The
teacher's key points, which are averages over several views, are learnt. Averaged weights are
evaluated on held-out crops (sports18 val, yoga8 val) and kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keyact.layouts import get_layout
from keyact.pose.evaluation import SIGMAS
from training import onnx_export
from training.backbone import freeze_until, mobilenet_v2
from training.fastpose_m import data, evaluate, model
from training.onnx_import import load_shipped
from training.schedule import Trainer, fast_policy, forward, save_weights

LEAST_SCORE = 0.12  # below it the teacher is guessing and where it points is not learnt
BELIEF_WEIGHT = 0.5
# Joints that COCO's annotators place more exactly have narrower Gaussians: in a wide one a miss of
# some pixels costs an eye next to nothing.
WRIST = get_layout("coco17").joints.index("left_wrist")
SHARPNESS = np.sqrt(SIGMAS / SIGMAS[WRIST]).astype(np.float32)


def targets(xy, spread, h: int, w: int, sigma: float):
    """Normalised Gaussians (N, h, w, 17) round xy (N, 17, 2) in crop pixels, and who is inside.

    ``sigma`` (cells) is a wrist's. Where the teacher's votes spread (px), the Gaussian is wider.
    """
    centre = (xy - (model.STRIDE - 1) / 2) / model.STRIDE
    sigma = ops.convert_to_tensor(sigma * SHARPNESS)
    doubt = ops.minimum(spread / model.STRIDE, sigma)
    var = (sigma**2 + doubt**2)[..., None]
    gx = ops.exp(-((ops.arange(w, dtype="float32") - centre[..., :1]) ** 2) / (2 * var))
    gy = ops.exp(-((ops.arange(h, dtype="float32") - centre[..., 1:]) ** 2) / (2 * var))
    limit = ops.convert_to_tensor([w - 0.5, h - 0.5], "float32")
    inside = ops.all((centre > -0.5) & (centre < limit), -1)
    maps = ops.einsum("njy,njx->nyxj", gy, gx)
    maps /= ops.sum(maps, (1, 2), keepdims=True) + 1e-9
    return maps, ops.cast(inside, "float32")


def make_loss(h: int, w: int, sigma: float):
    """How far the maps and scores are from what the labels tell."""

    def loss(net, image, xy, score, spread):
        goal, inside = targets(xy, spread, h, w, sigma)
        weight = inside * ops.where(score > LEAST_SCORE, score, 0.0)
        image = ops.cast(image, "float32") / 127.5 - 1.0
        out = forward(net, image)
        logits = ops.reshape(out["maps"], (-1, h * w, model.JOINTS))
        flat = ops.reshape(goal, (-1, h * w, model.JOINTS))
        cross = -ops.sum(flat * ops.log_softmax(logits, axis=1), 1)
        place = ops.sum(cross * weight) / (ops.sum(weight) + 1e-6)
        believed = ops.binary_crossentropy(score * inside, out["scores"], from_logits=True)
        belief = ops.mean(believed)
        return {"loss": place + BELIEF_WEIGHT * belief, "place": place, "belief": belief}

    return loss


def run_phase(args, phase: str, previous: Path | None, step: int, crops, held_out) -> int:
    """Train at one input size; returns the number of steps taken since the very start."""
    size, budget, rate = phase.split(":")
    height, width = model.sides(size)
    net = model.build(height, width)
    if previous is None and args.init == "shipped":
        load_shipped(net, onnx_export.WEIGHTS / "fastpose_m.onnx")
    elif previous or args.init != "random":
        net.load_weights(previous or args.init)
    if args.freeze_until:
        freeze_until(net, args.freeze_until)
    body = {layer.name for layer in mobilenet_v2((height, width, 3), None).layers}
    head = {layer.name for layer in net.layers} - body
    h, w = height // model.STRIDE, width // model.STRIDE
    loss = make_loss(h, w, args.sigma * height / 256)
    trainer = Trainer(net, head, loss, float(rate), budget, args.backbone_rate)

    def keep() -> None:
        scores = evaluate.against_teacher(net, held_out, height, width, limit=600)
        del scores["pck_per_joint"]
        state = {"step": step + trainer.done, "size": [height, width], **scores}
        print(json.dumps(state), flush=True)
        save_weights(net, args.run / "last.weights.h5")
        (args.run / "state.json").write_text(json.dumps(state))

    batches = data.batches(
        crops, args.batch, height, width, args.seed, step, args.workers, args.lying
    )
    trainer.run(batches, keep, args.eval_minutes, what="crops", title=size)
    return step + trainer.done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--run", type=Path, default=Path("work/fastpose_m"))
    parser.add_argument("--phases", nargs="+", default=["224x224:60m:5e-5"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--sigma", type=float, default=1.5, help="of a wrist, in cells at 256 px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-minutes", type=float, default=5)
    parser.add_argument(
        "--init",
        default="work/inherited.weights.h5",
        help='a file of inherit.py, "shipped" (the released weights) or "random"',
    )
    parser.add_argument("--lying", type=float, default=data.LYING, help="share of turned crops")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--backbone-rate", type=float, default=1.0, help="share of the rate")
    parser.add_argument("--freeze-until", default="expanded_conv_project_BN", help='"" for nothing')
    parser.add_argument("--resume", action="store_true", help="start from RUN/last.weights.h5")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.mixed_precision.set_global_policy(fast_policy())
    learnt_from = {"sports18": "train", "exercises": "train", "yoga8": "train"}
    crops = data.load(args.labels, args.shared, learnt_from)
    held_out = data.load(args.labels, args.shared, {"sports18": "val", "yoga8": "val"})
    print(f"{len(crops)} crops to learn from, {len(held_out)} held out", flush=True)
    step, previous = 0, None
    if args.resume:
        step = json.loads((args.run / "state.json").read_text())["step"]
        previous = args.run / "last.weights.h5"
    for phase in args.phases:
        step = run_phase(args, phase, previous, step, crops, held_out)
        previous = args.run / "last.weights.h5"


if __name__ == "__main__":
    main()
