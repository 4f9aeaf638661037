"""Train FastPose-M. Seeded, checkpointed, resumable.

    python -m training.fastpose_m.inherit
    python -m training.fastpose_m.train --labels work/labels --shared ../shared \
        --run work/fastpose_m --phases 224x224:60m:5e-5

A phase is HxW:budget:learning-rate, the budget in minutes ("40m") or steps ("9000"). The
teacher's key points, which are averages over several views, are learnt. Averaged weights are
evaluated on held-out crops (sports18 val, yoga8 val) and kept. To go on from weights that are good
already, ``--oks --relative`` changes them least.
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
BELIEF_WEIGHT, OKS_BELIEF = 0.5, 0.1
PEAK = 4.0  # a softmax of so many times the logits is nearly where the maximum is
PERSON = 0.4  # square root of a person's area (COCO's), a share of the crop's side
# Joints that COCO's annotators place more exactly have narrower Gaussians: in a wide one a miss of
# some pixels costs an eye next to nothing.
WRIST = get_layout("coco17").joints.index("left_wrist")
SHARPNESS = np.sqrt(SIGMAS / SIGMAS[WRIST]).astype(np.float32)


def bumps(centre, width, h: int, w: int):
    """Gaussians (N, h, w, 17) of peak 1 round ``centre`` (N, 17, 2), ``width`` (..., 17), cells."""
    var = (width**2)[..., None]
    gx = ops.exp(-((ops.arange(w, dtype="float32") - centre[..., :1]) ** 2) / (2 * var))
    gy = ops.exp(-((ops.arange(h, dtype="float32") - centre[..., 1:]) ** 2) / (2 * var))
    return ops.einsum("njy,njx->nyxj", gy, gx)


def from_gaussians(flat, centre, spread, sigma: float, h: int, w: int):
    """Cross-entropy (N, 17) of the maps' softmax from Gaussians round the joints.

    ``sigma`` (cells) is a wrist's. Where the teacher's votes spread (px), the Gaussian is wider.
    """
    sigma = ops.convert_to_tensor(sigma * SHARPNESS)
    doubt = ops.minimum(spread / model.STRIDE, sigma)
    goal = bumps(centre, ops.sqrt(sigma**2 + doubt**2), h, w)
    goal = ops.reshape(goal / (ops.sum(goal, (1, 2), keepdims=True) + 1e-9), ops.shape(flat))
    return -ops.sum(goal * ops.log_softmax(flat, axis=1), 1)


def expected_miss(flat, centre, h: int, w: int):
    """How far in OKS (N, 17) from the labels what is found may be expected to be.

    Each cell counts as it is likely to be the map's peak (minimum risk). What the maps look like
    elsewhere is left as it is, and a joint that is hopelessly far off teaches nothing.
    """
    near = ops.convert_to_tensor(2 * SIGMAS * PERSON * h, "float32")
    alike = ops.reshape(bumps(centre, near, h, w), ops.shape(flat))
    return 1 - ops.sum(ops.softmax(flat * PEAK, axis=1) * alike, 1)


def make_loss(h: int, w: int, sigma: float, oks: bool = False):
    """How far the maps and scores are from what the labels tell."""

    def loss(net, image, xy, score, spread):
        centre = (xy - (model.STRIDE - 1) / 2) / model.STRIDE
        limit = ops.convert_to_tensor([w - 0.5, h - 0.5], "float32")
        inside = ops.cast(ops.all((centre > -0.5) & (centre < limit), -1), "float32")
        weight = inside * ops.where(score > LEAST_SCORE, score, 0.0)
        out = forward(net, ops.cast(image, "float32") / 127.5 - 1.0)
        flat = ops.reshape(ops.cast(out["maps"], "float32"), (-1, h * w, model.JOINTS))
        if oks:
            miss = expected_miss(flat, centre, h, w)
        else:
            miss = from_gaussians(flat, centre, spread, sigma, h, w)
        place = ops.sum(miss * weight) / (ops.sum(weight) + 1e-6)
        believed = ops.binary_crossentropy(score * inside, out["scores"], from_logits=True)
        belief = ops.mean(believed)
        total = place + (OKS_BELIEF if oks else BELIEF_WEIGHT) * belief
        return {"loss": total, "place": place, "belief": belief}

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
    head = set() if args.relative else {layer.name for layer in net.layers} - body
    h, w = height // model.STRIDE, width // model.STRIDE
    loss = make_loss(h, w, args.sigma * height / 256, args.oks)
    trainer = Trainer(net, head, loss, float(rate), budget, args.backbone_rate, args.relative)

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
    parser.add_argument("--oks", action="store_true", help="raise the expected OKS, no Gaussians")
    parser.add_argument("--relative", action="store_true", help="the rate is a share of a kernel")
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
