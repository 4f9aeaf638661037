"""From the weights of a run to ``model.onnx``, in the signature of `keyact.action`.

    python -m keyact.train.export runs/NAME

One file of the inputs ``context``, ``crop`` and ``keypoints``, whatever the network looks at, so
that every trained photo model is loaded and called in the same way. It is written by TensorFlow;
after training with another backend a process of its own does it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keyact import models
from keyact.action.keypoint_fusion import JOINTS
from keyact.errors import KeyactError
from keyact.train.conversion import check, convert
from keyact.train.run import RunFolder

if TYPE_CHECKING:
    import keras

TOLERANCE = 0.02  # of the outputs' size: weights are stored in half precision


def metadata(
    name: str, model: str, labels: tuple[str, ...], size: int, margin: float
) -> dict[str, Any]:
    """What the file says of itself; `keyact.train.calibration` adds to it."""
    return {
        "schema": 1,
        "name": name,
        "kind": "action",
        "version": "1",
        "summary": f"{model}, trained on {len(labels)} actions",
        "model": model,
        "labels": list(labels),
        "layout": "coco17",
        "input": [size, size],
        "crop_margin": margin,
        "preprocessing": "uint8 RGB; photo squeezed, square crops; scaled inside the graph",
    }


def export(run: RunFolder) -> None:
    """Write ``model.onnx`` from ``model.json`` and ``best.weights.h5``.

    Raises
    ------
    KeyactError : TensorFlow is missing, or the file does not answer as the network does.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        about = json.loads(run.model_info.read_text("utf-8"))
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")  # ONNX Runtime's CPU knows no bfloat16
        try:
            net = models.build(
                about["model"], len(about["meta"]["labels"]), weights=None, **about["options"]
            )
            net.load_weights(run.weights)
            run.write_bytes(run.model, to_onnx(net, about["meta"]))
        finally:
            keras.config.set_dtype_policy(policy)
        return
    command = [sys.executable, "-m", "keyact.train.export", str(run.root)]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise KeyactError(f"{run.root}: cannot be exported; it takes TensorFlow ({last[:300]})")


def to_onnx(net: keras.Model, meta: dict[str, Any], tolerance: float = TOLERANCE) -> bytes:
    """The ONNX file of a photo model in float32; see `keyact.models` for its parts.

    What depends on the photo alone is computed once, however many people there are.
    """
    import keras
    import tensorflow as tf

    inputs = {value.name: value for value in net.inputs}
    features, head = net.get_layer("features"), net.get_layer("head")
    outputs = dict(features.output)
    takes = {value.name: value for value in features.inputs}
    of_photo = {k: v for k, v in outputs.items() if k.startswith("context")}
    of_person = {k: v for k, v in outputs.items() if k not in of_photo}
    photo = keras.Model(takes["context"], of_photo) if of_photo else None
    used = [name for name in ("context", "crop", "keypoints") if name in inputs]
    personal = [name for name in used if name != "context"]
    person = keras.Model({n: takes[n] for n in personal}, of_person) if of_person else None

    def function(context: Any, crop: Any, keypoints: Any) -> Any:
        given = {"context": context, "crop": crop, "keypoints": keypoints}
        seen: dict[str, Any] = {}
        if photo is not None:
            people = tf.shape(keypoints)[0]
            looked = photo(context, training=False)
            seen |= {name: tf.repeat(value, people, axis=0) for name, value in looked.items()}
        if person is not None:
            seen |= person({name: given[name] for name in personal}, training=False)
        return (tf.identity(head(seen, training=False)),)

    size = int(meta["input"][0])
    specs = [
        tf.TensorSpec((1, size, size, 3), tf.uint8, name="context"),
        tf.TensorSpec((None, size, size, 3), tf.uint8, name="crop"),
        tf.TensorSpec((None, JOINTS, 3), tf.float32, name="keypoints"),
    ]
    data = convert(function, specs, ["logits"], meta)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (3, JOINTS, 3)) * [size, size, 1]
    feeds = {
        "context": rng.integers(0, 256, (1, size, size, 3), np.uint8),
        "crop": rng.integers(0, 256, (3, size, size, 3), np.uint8),
        "keypoints": points.astype(np.float32),
    }
    check(data, function, feeds, tolerance)
    return data


if __name__ == "__main__":
    export(RunFolder(Path(sys.argv[1])))
