"""A gate in keypoint-fusion's file: whether a photo shows one of the known actions at all.

    python -m training.people --dataset exercises
    python -m training.keypoint_fusion.gate --report results/sports18.json

A linear layer on what the network's two last layers are given, the scene and the person, learns to
tell sports18 from gym exercises. With ``known`` from 0 to 1 the file then says

    known * softmax(logits / temperature) + (1 - known) / C

in logarithms: the network's own answer for its kind of photo, and nothing for others. The order of
the actions stays as it was. Networks that were shown some other things know further ones better,
too (outlier exposure, Hendrycks et al., ICLR 2019); here yoga and clips, which nothing learns from
(``benchmarks/strangers.py``). The strength of the layer is chosen on val and exercises apart from
those of training, and so are temperatures and the threshold for "unknown".
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from keyact.replacing import replacing
from keyact.train.calibration import best_temperature, calibrate, photo_logits
from training import onnx_export
from training.keypoint_fusion import data, scene, strangers, verdict
from training.keypoint_fusion.export import ship

PREFIX = "gate/"
UNGATED = f"{PREFIX}ungated"  # what the file's output was called before
STRENGTHS = 1e-4, 1e-3, 1e-2, 1e-1
OTHERS = 0.1  # of the photos that the file expects show no sport
FLOOR = 1e-9  # of a probability: the logarithm of 0 is none
_LAST = re.compile(r"(?:^|/)(?:scene_)?logits_\d+/MatMul$")  # as TensorFlow names their nodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=Path, default=Path("work/people"))
    parser.add_argument("--weights", type=Path, default=onnx_export.WEIGHTS)
    parser.add_argument("--report", type=Path, help="figures of the export; run test, once, too")
    args = parser.parse_args()
    proto = ungated(onnx.load(str(args.weights / "keypoint_fusion.onnx")))
    meta = json.loads(next(p.value for p in proto.metadata_props if p.key == "keyact"))
    sports = {
        split: data.load(args.people / "sports18.npz", args.shared, split)
        for split in ("train", "val")
    }
    others = strangers.load(args.people / "exercises.npz", args.shared)

    # Features go the way of logits, so the file has to have as many labels.
    width = scene.WIDTH + person_width(proto)
    look = with_meta(with_features(proto), meta | {"labels": [str(i) for i in range(width)]})
    known = {split: verdict.of_file(look, photos) for split, photos in sports.items()}
    unknown = {part: verdict.of_file(look, photos) for part, photos in others.items()}
    weight, bias = fit(known["train"], unknown["train"], known["val"], unknown["val"])
    bias += float(np.log(1 / OTHERS - 1))  # the layer has seen as many of both

    plain = verdict.of_file(with_meta(proto, meta), sports["val"])
    temperature = best_temperature(photo_logits(plain), sports["val"].labels)
    gated = with_meta(with_gate(proto, weight, bias, temperature), meta)
    logits = verdict.of_file(gated, sports["val"])
    strange = verdict.of_file(gated, others["val"])
    meta |= calibrate(logits, sports["val"].labels, strange, OTHERS) | {"version": "8"}
    print({key: meta[key] for key in ("temperature", "photo_temperature", "unknown_threshold")})
    gated = onnx_export.with_meta(gated, meta)
    result = json.loads(args.report.read_text()) if args.report else {}
    result |= {
        "gate_photos": {part: len(photos) for part, photos in others.items()},
        "val": verdict.figures(logits, sports["val"], meta),
        "exercises_named": round(named(strange, meta), 4),
    }
    if args.report:
        test = data.load(args.people / "sports18.npz", args.shared, "test")
        result["test"] = verdict.figures(verdict.of_file(gated, test), test, meta)
        with replacing(args.report) as part:
            part.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    ship(gated, result, args.weights)


def fit(
    sports: list[np.ndarray],
    exercises: list[np.ndarray],
    held_out_sports: list[np.ndarray],
    held_out_exercises: list[np.ndarray],
) -> tuple[np.ndarray, float]:
    """Weight (D,) and bias of the log odds that features (n, D) of a photo's people are sports'.

    Every photo counts alike, and both kinds together, too.
    """
    x, known, counts = stacked(sports, exercises)
    held_x, held_known, held_counts = stacked(held_out_sports, held_out_exercises)
    scaler = StandardScaler().fit(x, sample_weight=counts)
    tried = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=500)
        model.fit(scaler.transform(x), known, sample_weight=counts)
        told = model.predict_proba(scaler.transform(held_x))
        loss = log_loss(held_known, told, sample_weight=held_counts)
        print(f"gate of strength {strength}: log loss {loss:.4f}", flush=True)
        tried.append((loss, strength, model))
    model = min(tried)[2]
    weight = model.coef_[0] / scaler.scale_
    return weight.astype(np.float32), float(model.intercept_[0] - weight @ scaler.mean_)


def stacked(
    sports: list[np.ndarray], others: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D) of everyone, whether each is of sports, and how much each counts."""
    each = [*sports, *others]
    known = np.repeat([1] * len(sports) + [0] * len(others), [len(one) for one in each])
    share = np.concatenate([np.full(len(one), 1 / len(one)) for one in each])
    share *= len(known) / 2 / np.where(known, len(sports), len(others))
    return np.concatenate(each), known, share


def named(logits: list[np.ndarray], meta: dict[str, Any]) -> float:
    """Share of the photos that get an action's name."""
    told = verdict.probabilities(logits, meta)
    return float((told.max(1) >= meta["unknown_threshold"]).mean())


def person_width(proto: Any) -> int:
    """Features of a person that the last layer is given."""
    (layer,) = (n for n in proto.graph.node if _LAST.search(n.name) and "scene" not in n.name)
    kernel = next(t for t in proto.graph.initializer if t.name.startswith(layer.input[1]))
    return int(kernel.dims[0])


def ungated(proto: Any) -> Any:
    """The file as it was before it got a gate; itself if it has none."""
    for parts in (proto.graph.node, proto.graph.initializer):
        for part in [one for one in parts if one.name.startswith(PREFIX)]:
            parts.remove(part)
    for node in proto.graph.node:
        node.output[:] = ["logits" if name == UNGATED else name for name in node.output]
    return proto


def with_features(proto: Any) -> Any:
    """The file with what its two last layers are given, (N, D), as its output ``logits``."""
    return _extended(proto, _FEATURES.replace("features =", "logits ="), {})


def with_gate(proto: Any, weight: np.ndarray, bias: float, temperature: float) -> Any:
    """The file with a gate in front of its output."""
    labels = proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    numbers = {
        "bias": bias,
        "temperature": temperature,
        "one": 1,
        "share": 1 / labels,
        "floor": FLOOR,
    }
    constants = {name: np.array(value, np.float32) for name, value in numbers.items()}
    return _extended(proto, _FEATURES + _GATE, {"weight": weight[:, None], **constants})


_FEATURES = """
    place = ReduceMean <axes = [0], keepdims = 1> (scene)
    rows = Shape <start = 0, end = 1> (person)
    size = Concat <axis = 0> (rows, width)
    everywhere = Expand (place, size)
    features = Concat <axis = 1> (everywhere, person)
"""
_GATE = """
    projected = MatMul (features, weight)
    odds = Add (projected, bias)
    known = Sigmoid (odds)
    tempered = Div (ungated, temperature)
    said = Softmax <axis = 1> (tempered)
    heard = Mul (said, known)
    unknown = Sub (one, known)
    nothing = Mul (unknown, share)
    told = Add (heard, nothing)
    some = Add (told, floor)
    logits = Log (some)
"""


def _extended(proto: Any, text: str, constants: dict[str, np.ndarray]) -> Any:
    """A copy with nodes, in ONNX's text, between the file's last layers and its output."""
    proto = onnx.load_model_from_string(proto.SerializeToString())
    graph = proto.graph
    outside = {"ungated": UNGATED, "logits": "logits"}
    for node in graph.node:
        node.output[:] = [UNGATED if name == "logits" else name for name in node.output]
        if _LAST.search(node.name):
            outside["scene" if "scene" in node.name else "person"] = node.input[0]
    if len(outside) != 4:
        raise ValueError("no keypoint-fusion with a scene: its last layers are not in the file")
    for name, array in {"width": np.array([scene.WIDTH]), **constants}.items():
        graph.initializer.append(numpy_helper.from_array(array, f"{PREFIX}{name}"))
    ends = "float[N, C] ungated, float[V, S] scene, float[N, P] person"
    made = onnx.parser.parse_graph(f"gate ({ends}) => (float[N, C] logits) {{ {text} }}")
    for node in made.node:
        node.name = f"{PREFIX}{node.output[0]}"
        for names in (node.input, node.output):
            names[:] = [outside.get(name, f"{PREFIX}{name}") for name in names]
    graph.node.extend(made.node)
    return proto


def with_meta(proto: Any, meta: dict[str, Any]) -> bytes:
    """Its bytes, as ONNX has them in order."""
    onnx.checker.check_model(proto)
    return onnx_export.with_meta(proto.SerializeToString(), meta)


if __name__ == "__main__":
    main()
