"""Train keypoint-fusion on sports18. Seeded, checkpointed, resumable.

    python -m training.keypoint_fusion.train --people work/people/sports18.npz \
        --shared ../shared --run work/keypoint_fusion --budget 2400

The head starts random, MobileNetV2 from ImageNet; its first blocks stay. The averaged
weights are evaluated on val; ``--no-keypoints`` trains the same network without the key
point branches (photo and crop alone), ``--init shipped`` goes on from the released
weights, with ``--side 192`` a step costs three quarters (Touvron et al., NeurIPS 2019, train
small and test large), ``--degrade`` spoils photos as cameras and the web do, with
``--teachers`` what larger networks say of the same views is learnt, and with
``--soft-labels`` what heads say that did not learn from the photo.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import keras
from keras import ops

from keyact.train import Augment
from keyact.train.calibration import photo_logits
from training import onnx_export
from training.backbone import freeze_until, initial_weights
from training.keypoint_fusion import data, model, verdict
from training.onnx_import import load_shipped
from training.schedule import Trainer, fast_policy, forward, save_weights

SMOOTHING = 0.1
LABELS = 0.2
"""Their share beside what teachers say."""


def logits_of(net, context, crop, keypoints, training: bool):
    pictures = (ops.cast(image, "float32") / 127.5 - 1.0 for image in (context, crop))
    return forward(net, [*pictures, keypoints], training)


def from_labels(logits, goal, smoothing: float, told=None) -> dict:
    """How far logits (N, C) are from smoothed shares of labels (N, C), or a little from these and
    more from probabilities that are ``told``, and how often the likeliest label is named."""
    right = ops.argmax(logits, -1) == ops.argmax(goal, -1)
    goal = goal * (1 - smoothing) + smoothing / logits.shape[-1]
    if told is not None:
        goal = LABELS * goal + (1 - LABELS) * ops.stop_gradient(told)
    each = ops.categorical_crossentropy(goal, logits, from_logits=True)
    return {"loss": ops.mean(each), "right": ops.mean(ops.cast(right, "float32"))}


def make_loss(teachers: Sequence[Callable], smoothing: float):
    """How far the logits are from the labels, or from what the ``teachers`` say of the same views
    (Beyer et al., CVPR 2022) and a little from the labels."""

    def loss(net, context, crop, keypoints, goal):
        logits = logits_of(net, context, crop, keypoints, training=True)
        told = [ops.softmax(teacher(context, crop, keypoints)) for teacher in teachers]
        mean = sum(told[1:], told[0]) / len(told) if told else None
        return from_labels(logits, goal, smoothing, mean)

    return loss


def asked(names: Sequence[str], labels: int, side: int) -> list[Callable]:
    """Files of training.keypoint_fusion.teacher, or "shipped": the released weights."""
    teachers: list[Callable] = []
    for name in names:
        if name == "shipped":
            net = model.build(labels, None, size=side)
            load_shipped(net, onnx_export.WEIGHTS / "keypoint_fusion.onnx")
            net.trainable = False
            teachers.append(partial(logits_of, net, training=False))
        else:
            from training.keypoint_fusion import teacher

            teachers.append(partial(teacher.told, teacher.load(Path(name), labels)))
    return teachers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--run", type=Path, default=Path("work/keypoint_fusion"))
    parser.add_argument("--budget", default="2400", help='steps ("2400") or minutes ("25m")')
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--relative", action="store_true", help="MobileNetV2's rate is a share of a kernel"
    )
    parser.add_argument("--eyes-rate", type=float, default=0.3, help="MobileNetV2's over the rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--eval-minutes", type=float, default=6)
    parser.add_argument("--side", type=int, default=model.SIZE, help="of photo and crop, pixels")
    parser.add_argument("--degrade", type=float, default=0.0, help="share with noise, blur, haze")
    parser.add_argument("--rand-ops", type=int, default=0, help="of RandAugment")
    parser.add_argument("--mixup", type=float, default=0.0)
    parser.add_argument("--cutmix", type=float, default=0.0)
    parser.add_argument(
        "--teachers", nargs="*", default=[], help='teacher.safetensors or "shipped", with PyTorch'
    )
    parser.add_argument("--soft-labels", type=Path, help="a file of soft_labels")
    parser.add_argument("--soft-share", type=float, default=0.7, help="of soft beside hard labels")
    parser.add_argument("--no-keypoints", action="store_true")
    parser.add_argument("--freeze-until", default="block_5_add")
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
    photos = data.load(args.people, args.shared, "train")
    held_out = data.load(args.people, args.shared, "val")
    if args.soft_labels:
        data.soften(photos, args.soft_labels, args.soft_share)
    print(f"{len(photos)} photos to learn from, {len(held_out)} to choose on", flush=True)
    shipped = args.init == "shipped"
    net = model.build(
        len(photos.names),
        None if shipped else initial_weights(args.init, args.shared),
        keypoints=not args.no_keypoints,
        size=args.side,
    )
    if shipped:
        load_shipped(net, onnx_export.WEIGHTS / "keypoint_fusion.onnx")
    start = 0
    if args.resume:
        net.load_weights(args.run / "last.weights.h5")
        start = json.loads((args.run / "state.json").read_text())["step"]
    backbone = net.get_layer("mobilenet_v2")
    freeze_until(backbone, args.freeze_until)
    teachers = asked(args.teachers, len(photos.names), args.side)
    loss = make_loss(teachers, 0.0 if args.soft_labels else SMOOTHING)
    trainer = Trainer(net, {"head"}, loss, args.rate, args.budget, args.eyes_rate, args.relative)

    whole = net  # at the size of inference, where the same weights see more of the photo
    if args.side != model.SIZE:
        whole = model.build(len(photos.names), None, keypoints=not args.no_keypoints)

    def keep() -> None:
        save_weights(net, args.run / "last.weights.h5")
        state: dict[str, float] = {"step": start + trainer.done}
        (args.run / "state.json").write_text(json.dumps(state))
        if whole is not net:
            whole.set_weights(net.get_weights())
        logits = verdict.logits_of(verdict.from_keras(whole), held_out)
        named = photo_logits(logits).argmax(1)
        state["val_top1"] = round(float((named == held_out.labels).mean()), 4)
        (args.run / "state.json").write_text(json.dumps(state))
        print(json.dumps(state), flush=True)

    look = data.Look(
        args.side, Augment(degrade=args.degrade, rand_ops=args.rand_ops), args.mixup, args.cutmix
    )
    batches = data.batches(photos, args.batch, args.seed, start, look, args.workers)
    trainer.run(batches, keep, args.eval_minutes, what="samples", every=50)


if __name__ == "__main__":
    main()
