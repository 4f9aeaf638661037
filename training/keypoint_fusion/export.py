"""Calibrate the trained model on val, write the ONNX file that keyact ships, report test once.

    python -m training.keypoint_fusion.export --run work/keypoint_fusion \
        --people work/people/sports18.npz --report results/sports18.json

Temperatures and the "unknown" threshold are chosen on val. With ``--report`` the finished
file is run on test and its figures are written. Of several runs that went on from the same weights
the mean is taken (model soups, Wortsman et al., ICML 2022), and ``--blend`` lies between it and the
released weights: nearly as robust as the one, as right as the other (WiSE-FT, Wortsman et al.,
CVPR 2022). ``--shipped`` does this for the released weights, which has to be done again when the
people they are given come from other networks. With ``--scene`` what
:mod:`training.keypoint_fusion.scene_train` says of the photo is added, by a share that is chosen on
val, too.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keyact.train.calibration import best_temperature, calibrate, log_loss, photo_logits
from training import onnx_export
from training.keypoint_fusion import data, model, scene, verdict
from training.onnx_import import load_shipped
from training.schedule import average

SMALLER = 2**16  # elements of kernels stored in eight bits beside a scene: below 10 MB
SHARES = 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0  # of the scene's logits, tried on val


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people/sports18.npz"))
    parser.add_argument("--run", type=Path, nargs="+", default=[Path("work/keypoint_fusion")])
    parser.add_argument("--out", type=Path, default=onnx_export.WEIGHTS)
    parser.add_argument("--no-keypoints", action="store_true")
    parser.add_argument(
        "--views", type=int, default=1, choices=[1, 2], help="of the photo; 2: mirrored, too"
    )
    parser.add_argument(
        "--blend", type=float, default=1.0, help="share of the runs, the rest are released weights"
    )
    parser.add_argument(
        "--side", type=int, default=256, help="of photo and crop at inference, pixels"
    )
    parser.add_argument(
        "--scene", type=Path, nargs="+", help="runs of training.keypoint_fusion.scene_train"
    )
    parser.add_argument("--shipped", action="store_true", help="the released weights, not a run")
    parser.add_argument("--report", type=Path, help="run test, once, and write its figures here")
    args = parser.parse_args()
    keras.mixed_precision.set_global_policy("float32")  # ONNX knows no bfloat16 here
    val = data.load(args.people, args.shared, "val")
    size = args.side
    net = model.build(len(val.names), None, keypoints=not args.no_keypoints, size=size)
    steps = 0
    if args.shipped or args.blend < 1:
        load_shipped(net, onnx_export.WEIGHTS / "keypoint_fusion.onnx")
        steps += shipped_steps()
    if not args.shipped:
        steps += average(net, args.run, args.blend)

    eyes = scene.with_head(scene.build(), len(val.names)) if args.scene else None
    scene_steps = average(eyes, args.scene) if eyes else 0
    share = 0.0

    def function(context, crop, keypoints, squares=None):
        logits = onnx_forward(net, scaled(context), scaled(crop), keypoints, args.views)
        if squares is not None:
            said = tf.reduce_mean(eyes(scaled(squares), training=False), 0, keepdims=True)
            logits += share * said
        return (logits,)

    alone = [
        tf.TensorSpec((1, size, size, 3), tf.uint8, name="context"),
        tf.TensorSpec((None, size, size, 3), tf.uint8, name="crop"),
        tf.TensorSpec((None, model.JOINTS, 3), tf.float32, name="keypoints"),
    ]
    squares = tf.TensorSpec((None, scene.SIZE, scene.SIZE, 3), tf.uint8, name="squares")
    specs = [*alone, squares] if eyes else alone
    meta = {
        "schema": 1,
        "name": "keypoint-fusion",
        "kind": "action",
        "version": "7",
        "labels": list(val.names),
        "layout": "coco17",
        "input": [size, size],
        "crop_margin": data.CROP_MARGIN,
        "photo_views": args.views,
        "preprocessing": "uint8 RGB; photo squeezed, square crops; scaled inside the graph",
        "licence": "Apache-2.0",
    }
    if eyes:
        share = best_share(
            verdict.of_file(onnx_export.convert(function, alone, ["logits"], meta), val),
            scene.told(eyes, val),
            val,
        )
    raw = onnx_export.convert(function, specs, ["logits"], meta, SMALLER if eyes else None)
    rng = np.random.default_rng(0)
    feeds = {
        "context": rng.integers(0, 256, (1, size, size, 3), np.uint8),
        "crop": rng.integers(0, 256, (3, size, size, 3), np.uint8),
        "keypoints": rng.uniform(0, 1, (3, model.JOINTS, 3)).astype(np.float32) * [size, size, 1],
    }
    feeds["keypoints"] = feeds["keypoints"].astype(np.float32)
    if eyes:
        feeds["squares"] = rng.integers(0, 256, (2, scene.SIZE, scene.SIZE, 3), np.uint8)
    # Eight bits change what noise looks like more than what photos do.
    worst = onnx_export.check(raw, function, feeds, tolerance=0.1 if eyes else 0.02)
    parameters = net.count_params() + (eyes.count_params() if eyes else 0)
    print(f"{parameters:,} parameters; ONNX differs by {worst:.1e}")
    logits = verdict.of_file(raw, val)
    meta |= calibrate(logits, val.labels)
    print({key: meta[key] for key in ("temperature", "photo_temperature", "unknown_threshold")})
    result: dict[str, object] = {
        "parameters": f"{parameters:,}",
        "steps": steps,
        "views_of_the_photo": args.views,
        "scene_steps": scene_steps,
        "share_of_the_scene": share,
        "val": verdict.figures(logits, val, meta),
    }
    if args.report:
        test = data.load(args.people, args.shared, "test")
        result["test"] = verdict.figures(verdict.of_file(raw, test), test, meta)
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    ship(onnx_export.with_meta(raw, meta), result, args.out)


def ship(file: bytes, figures: dict[str, object], folder: Path) -> None:
    """Put a finished file into the package, with its card."""
    onnx_export.ship(
        file,
        "keypoint-fusion",
        "action",
        "18 sports: MobileNetV2 on photo and person, focused on the key points",
        Path(__file__).parent / "CARD.md",
        figures,
        folder,
    )


def scaled(pictures):
    """uint8 RGB as the networks take it."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1.0


def best_share(people: list[np.ndarray], of_scene: np.ndarray, val: data.Photos) -> float:
    """How much of the scene's logits (V, C) suits those of the photos' people best on val."""
    photos = photo_logits(people)
    tried = []
    for share in SHARES:
        both = photos + share * of_scene
        loss = log_loss(both, val.labels, best_temperature(both, val.labels))
        right = (both.argmax(1) == val.labels).mean()
        print(f"scene's share {share}: val top-1 {right:.4f}, log loss {loss:.4f}", flush=True)
        tried.append((loss, share))
    return min(tried)[1]


def shipped_steps() -> int:
    """Of the released weights' training, as their card says."""
    card = (onnx_export.WEIGHTS / "keypoint_fusion.md").read_text("utf-8")
    return int(re.findall(r"^\| steps \| (\d+) \|$", card, re.MULTILINE)[0])


def onnx_forward(net, context, crop, keypoints, views):
    """The network on one photo and its N people; the photo is looked at once for all of them.

    With two ``views`` as it is and mirrored: for the price of one more crop its part of the
    logits, which are linear in it, is the mean of both.
    """
    eyes = net.get_layer("mobilenet_v2")
    mirrored = tf.gather(context, tf.range(context.shape[1] - 1, -1, -1), axis=2)
    pictures = [context, mirrored][:views]
    fine_map, last_map = eyes(tf.concat([*pictures, crop], 0), training=False)
    pooled = tf.reduce_mean(last_map, (1, 2))
    people = tf.shape(crop)[0]
    photo = tf.reduce_mean(pooled[:views], 0, keepdims=True)
    seen = {
        "context": tf.repeat(photo, people, axis=0),
        "crop": pooled[views:],
    }
    names = {layer.name for layer in net.layers}
    if "look" in names:
        looks = net.get_layer("look")([last_map[views:], keypoints])
        seen["attended"] = net.get_layer("attend")([looks, keypoints[..., 2:]])
        seen["fine"] = net.get_layer("sample")([fine_map[views:], keypoints])
        seen["keypoints"] = keypoints
    logits = net.get_layer("head")(seen, training=False)
    return logits if "look" in names else logits + 0.0 * tf.reduce_sum(keypoints)


if __name__ == "__main__":
    main()
