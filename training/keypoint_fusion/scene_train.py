"""Fine-tune the network that knows scenes on sports18. Seeded, checkpointed, resumable.

    python -m training.keypoint_fusion.scene_train --run work/scene --budget 60m

EfficientNet-Lite2 begins as ImageNet left it (:mod:`training.keypoint_fusion.scene`); its first
stages and batch norm's statistics stay. It learns from random squares of the photos and is judged
on val by the mean of the squares that cover a photo, with averaged weights. ``--side`` 192 trains
small to be used large (Touvron et al., NeurIPS 2019); ``--soft-labels`` are what heads say that did
not learn from the photo (:mod:`training.keypoint_fusion.soft_labels`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keyact.train import Augment
from keyact.train.augment import augmented
from keyact.train.calibration import best_temperature, log_loss
from training import ahead
from training.keypoint_fusion import data, scene
from training.keypoint_fusion.train import SMOOTHING, from_labels
from training.schedule import Trainer, forward, save_weights


def make_loss(smoothing: float):
    def loss(net, photo, goal):
        logits = forward(net, ops.cast(photo, "float32") / 127.5 - 1.0)
        return from_labels(logits, goal, smoothing)

    return loss


def batches(
    photos: data.Photos, size: int, seed: int, start_step: int, look: data.Look
) -> Iterator[ahead.Batch]:
    """Endless batches of parts of photos (N, side, side, 3) RGB."""
    nobody = np.zeros((0, 4)), np.zeros((0, 17, 3))

    def sample(i: int, rng: np.random.Generator) -> tuple[np.ndarray]:
        square = any_square(photos.images[i], rng)
        return (augmented(square, *nobody, look.side, 1.0, look.augment, rng).context,)

    return data.endless(photos.targets, size, seed, start_step, look, sample)


def any_square(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square as wide or high as the photo's shorter side, from anywhere along the other."""
    side = min(image.shape[:2])
    top, left = (int(rng.integers(0, n - side + 1)) for n in image.shape[:2])
    return image[top : top + side, left : left + side]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--weights", type=Path, help="a .pth; by default the package's")
    parser.add_argument("--run", type=Path, default=Path("work/scene"))
    parser.add_argument("--budget", default="60m", help='steps ("2400") or minutes ("25m")')
    parser.add_argument("--rate", type=float, default=1e-3, help="of the linear layer")
    parser.add_argument("--eyes-rate", type=float, default=0.2, help="share of the rate")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=192, help="of the views, pixels")
    parser.add_argument("--stages", type=int, default=4, help="that stay as ImageNet left them")
    parser.add_argument("--eval-minutes", type=float, default=15)
    parser.add_argument("--soft-labels", type=Path, help="a file of soft_labels")
    parser.add_argument("--soft-share", type=float, default=0.5, help="of soft beside hard labels")
    parser.add_argument("--resume", action="store_true", help="start from RUN/last.weights.h5")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    photos = data.load(args.people, args.shared, "train")
    held_out = data.load(args.people, args.shared, "val")
    if args.soft_labels:
        data.soften(photos, args.soft_labels, args.soft_share)
    net = scene.with_head(scene.imagenet(args.weights), len(photos.names))
    start = 0
    if args.resume:
        net.load_weights(args.run / "last.weights.h5")
        start = json.loads((args.run / "state.json").read_text())["step"]
    scene.freeze(net, args.stages)
    loss = make_loss(0.0 if args.soft_labels else SMOOTHING)
    trainer = Trainer(net, {scene.HEAD}, loss, args.rate, args.budget, args.eyes_rate)

    def keep() -> None:
        save_weights(net, args.run / "last.weights.h5")
        logits = scene.told(net, held_out)
        temperature = best_temperature(logits, held_out.labels)
        state = {
            "step": start + trainer.done,
            "val_top1": round(float((logits.argmax(1) == held_out.labels).mean()), 4),
            "val_log_loss": round(log_loss(logits, held_out.labels, temperature), 4),
        }
        (args.run / "state.json").write_text(json.dumps(state))
        print(json.dumps(state), flush=True)

    look = data.Look(args.side, Augment(degrade=0.25, rand_ops=1), mixup=0.2, cutmix=0.5)
    views = batches(photos, args.batch, args.seed, start, look)
    trainer.run(views, keep, args.eval_minutes, what="photos", every=50)


if __name__ == "__main__":
    main()
