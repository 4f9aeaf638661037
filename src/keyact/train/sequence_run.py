"""Train a sequence network in a run's folder: recordings, clips, epochs, export, calibration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact import models
from keyact.action.clips import ClipModel
from keyact.data import Dataset, Sample
from keyact.data.base import in_no_split
from keyact.data.splits import refuse_changes, save_splits
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.sequences import UNCERTAIN, Features
from keyact.sequences import Sequence as Recording
from keyact.sequences.views import Views
from keyact.train.calibration import calibrated_figures, figures, threshold_of
from keyact.train.config import TrainConfig
from keyact.train.conversion import check, convert
from keyact.train.engine import History, fit, prepare
from keyact.train.eyes import EyesFile, with_eyes
from keyact.train.objective import Loss, objective, top1
from keyact.train.run import RunFolder
from keyact.train.sequence_data import (
    ClipBatches,
    ClipSet,
    Report,
    checked_names,
    run_over,
    usable,
    with_val,
)
from keyact.train.sequence_defaults import augment_of, features_of, left_is_right

if TYPE_CHECKING:
    import keras

TOLERANCE = 0.02  # of the outputs' size: weights are stored in half precision
SEEN_SCORE = 0.3  # of a detector: what counts as seen for a network that learnt from annotators
EVEN = 0.5  # an action is not named while it is more probable that there is none
WHOLE = "whole"  # folder of the second training, on everything


def run_sequences(
    recordings: Sequence[Recording],
    model: str,
    config: TrainConfig,
    run: RunFolder,
    *,
    eyes: EyesFile | None = None,
    resume: bool = False,
    say: Report = lambda line: None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[History, dict[str, float]]:
    """Train, calibrate and export; everything is written to ``run``.

    Where there is no val split, a part of the recordings, whole groups, is held out. The figures,
    the temperature and the threshold are of a network that has not seen it; the network that is
    exported has then been trained once more with it (``sequence.refit``).

    Parameters
    ----------
    eyes : whose glances the recordings hold, for a model that wants some.

    Returns
    -------
    what happened in the epochs, and the figures on what was held out.
    """
    settings = config.sequence
    known = usable(recordings, say)
    train, val, ours = with_val(known, settings.val, config.seed)
    if taken_out := in_no_split(known):
        say(f"left out: {len(taken_out)} recordings in no split, such as {taken_out[0].name}")
    names = sorted({str(r.label) for r in train})
    checked_names(val, names)
    sides = as_dataset(run.name, names, train=train, val=val)
    if resume:
        refuse_changes(sides, run.root)
    save_splits([sides], run.root)
    if settings.background is not None and settings.background not in names:
        raise UnknownNameError("label for sequence.background:", settings.background, names)
    module = import_module(models.get_model(model).module)
    width = 0 if eyes is None else int(eyes.about["width"])
    features = features_of(train + val, settings, module.STREAMS, width)
    clips, held = (ClipSet.of(part, names, features) for part in (train, val))
    mirror = settings.flip is None and left_is_right(clips, held, config.seed)
    augment = augment_of(settings, features.dims, mirror)
    mirrored = augment.flip > 0 and features.skeleton.flip is not None
    views = Views(settings.clips, settings.fraction, mirrored)
    say(
        f"{len(clips)} recordings to learn from, {len(held)} to choose on, {len(names)} actions; "
        f"{features.skeleton.layout} in {features.dims}D, {features.people} of each; "
        f"left and right {'are alike' if mirrored else 'differ, or are not known'}"
    )
    about: dict[str, Any] = {"model": model, "options": _plain(config.options)}
    about["meta"] = metadata(run.name, model, names, features, views, train)
    if eyes is not None:
        about["meta"]["eyes"] = eyes.about
        run.write_bytes(run.eyes, eyes.data)
    if settings.background is not None:
        about["meta"]["background"] = settings.background
    run.write_json(run.model_info, about)
    prepare(config)
    net = trainable(_built(about, features))
    run.write_environment()
    taught = teach(config.teacher, train, names) if config.teacher else None
    batches = ClipBatches(clips, augment, config, taught)
    loss, metric = side_by_side(config, len(names))
    history = fit(
        net, batches, validation(held), config, run,
        loss=loss, metric=metric, resume=resume, on_epoch=on_epoch,
    )  # fmt: skip
    logits = run_over(net, held.views(views))
    found = {"split": "val", "recordings": len(held), **judged(logits, held.labels, about["meta"])}
    if net.output.shape[1] > 1:
        found["members"] = members_top1(logits, held.labels)
    weights = run.weights
    if settings.refit if settings.refit is not None else ours:
        say("once more, with what was held out")
        again = ClipSet.of([*train, *val], names, features)
        taught = teach(config.teacher, [*train, *val], names) if config.teacher else None
        weights = _whole(
            about, ClipBatches(again, augment, config, taught), config, run, resume, on_epoch
        )
        found["exported"] = "trained once more with what was held out"
    run.write_json(run.model_info, about)
    export(run, weights)
    run.write_json(run.metrics, found)
    return history, {k: v for k, v in found.items() if isinstance(v, float)}


def as_dataset(name: str, labels: Sequence[str], **sides: Sequence[Recording]) -> Dataset:
    """Recordings by split as samples, their names as paths, for the run's file of splits."""
    root = Path("/")  # a name may be an absolute path, and must read the same from any folder
    samples = [
        Sample(root / r.name, r.label, split, r.group)
        for split, some in sides.items()
        for r in some
    ]
    return Dataset(name, root, tuple(samples), tuple(labels))


def metadata(
    name: str,
    model: str,
    labels: Sequence[str],
    features: Features,
    views: Views,
    recordings: Sequence[Recording],
) -> dict[str, Any]:
    """What the file says of itself; see `keyact.action.temporal`."""
    meta: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "kind": "sequence",
        "version": "1",
        "summary": f"{model}, trained on {len(labels)} actions",
        "model": model,
        "labels": list(labels),
        "features": features.to_dict(),
        "test": views.to_dict(),
        "stride": max(1, features.frames // 4),
        "preprocessing": "keyact.sequences.Features of the recording's key points",
    }
    some = [recording.scores.ravel() for recording in recordings[:50]]
    if set(np.unique(np.concatenate(some)).tolist()) <= {0.0, UNCERTAIN, 1.0}:
        meta["seen_score"] = SEEN_SCORE
    return meta


def trainable(net: keras.Model) -> keras.Model:
    """The network with the logits (N, K, C) of its K members out; K is mostly 1."""
    import keras

    names = [layer.name for layer in net.layers]
    out = net.get_layer("members").output if "members" in names else net.output[:, None]
    return keras.Model(net.inputs, out, name=net.name)


def side_by_side(config: TrainConfig, classes: int) -> tuple[Loss, Loss]:
    """The loss of members (N, K, C), the mean of each one's own, and the top-1 of all together."""
    from keras import ops

    one, right = objective(config, classes), top1(classes)

    def loss(targets: Any, logits: Any) -> Any:
        each = [one(targets, logits[:, k]) for k in range(logits.shape[1])]
        return sum(each) / len(each)

    def metric(targets: Any, logits: Any) -> Any:
        return right(targets, ops.mean(logits, 1))

    metric.__name__ = "top1"
    return loss, metric


def validation(held: ClipSet) -> Callable[[keras.Model], Mapping[str, float]]:
    """Figures on recordings, each looked at once and whole."""
    looks = held.views(Views())

    def validate(net: keras.Model) -> Mapping[str, float]:
        logits = [rows.mean(1) for rows in run_over(net, looks)]
        return figures(logits, held.labels)

    return validate


def judged(
    logits: Sequence[NDArray[np.float32]], labels: NDArray[np.intp], meta: dict[str, Any]
) -> dict[str, float]:
    """Temperature and threshold into ``meta``, and the figures with them.

    The temperature is that of the least negative log-likelihood of targets a little short of
    certain, as in Platt's scaling (1999): when next to nothing is wrong among N recordings, one in
    N + 2 may still be.

    Parameters
    ----------
    logits : per recording (S, K, C) of its looks and the network's members.
    """
    looks = np.stack([rows.mean(1) for rows in logits])
    grid = np.round(np.exp(np.linspace(np.log(0.2), np.log(4), 150)), 3)
    rows = np.arange(len(labels))
    doubt = 1 / (len(labels) + 2)
    targets = np.full((len(labels), len(meta["labels"])), doubt / (len(meta["labels"]) - 1))
    targets[rows, labels] = 1 - doubt
    costs = [-(targets * np.log(_mean(looks, t) + 1e-12)).sum() for t in grid]
    meta["temperature"] = float(grid[int(np.argmin(costs))])
    answer = _mean(looks, meta["temperature"])
    actions = [i for i, name in enumerate(meta["labels"]) if name != meta.get("background")]
    # Of what is named, recordings of the background are never right.
    places = np.array([actions.index(i) if i in actions else -1 for i in labels.tolist()])
    threshold = threshold_of(answer[:, actions], places)
    if len(actions) < len(meta["labels"]):
        threshold = max(threshold, EVEN)
    meta["unknown_threshold"] = threshold
    return calibrated_figures(answer, labels, threshold)


def members_top1(logits: Sequence[NDArray[np.float32]], labels: NDArray[np.intp]) -> list[float]:
    """Top-1 of each member alone."""
    each = np.stack([rows.mean(0) for rows in logits])
    right = (each.argmax(-1) == labels[:, None]).mean(0)
    return [round(float(value), 4) for value in right]


def teach(
    names: str, recordings: Sequence[Recording], labels: Sequence[str]
) -> NDArray[np.float32]:
    """(N, C) mean answer of sequence networks (files, with commas) to each recording.

    Raises
    ------
    InputError : a teacher does not know the actions of the data.
    """
    teachers = [ClipModel(name.strip()) for name in names.split(",") if name.strip()]
    total = np.zeros((len(recordings), len(labels)))
    for teacher in teachers:
        lacks = sorted(set(labels) - set(teacher.labels))
        if lacks:
            raise InputError(f"teacher {teacher.name}: does not know {', '.join(lacks[:5])}")
        order = [teacher.labels.index(name) for name in labels]
        total += teacher.predict(recordings)[:, order]
    return np.asarray(total / total.sum(1, keepdims=True), np.float32)


def export(run: RunFolder, weights: Path | None = None) -> None:
    """Write ``model.onnx`` from ``model.json`` and the weights.

    Raises
    ------
    KeyactError : TensorFlow is missing, or the file does not answer as the network does.
    """
    import keras

    weights = weights or run.weights
    if keras.backend.backend() == "tensorflow":
        about = json.loads(run.model_info.read_text("utf-8"))
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")  # ONNX Runtime's CPU knows no bfloat16
        try:
            net = _built(about, Features.from_dict(about["meta"]["features"]))
            trainable(net).load_weights(weights)
            data = to_onnx(net, about["meta"])
            if "eyes" in about["meta"]:
                data = with_eyes(data, run.eyes.read_bytes())
            run.write_bytes(run.model, data)
        finally:
            keras.config.set_dtype_policy(policy)
        return
    command = [sys.executable, "-m", "keyact.train.sequence_run", str(run.root), str(weights)]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise KeyactError(f"{run.root}: cannot be exported; it takes TensorFlow ({last[:300]})")


def to_onnx(net: keras.Model, meta: Mapping[str, Any], tolerance: float = TOLERANCE) -> bytes:
    """The ONNX file of a sequence network in float32: ``x`` in, ``logits`` out."""
    import tensorflow as tf

    shape = net.input.shape[1:]

    def function(x: Any) -> Any:
        return (tf.identity(net(x, training=False)),)

    data = convert(
        function, [tf.TensorSpec((None, *shape), tf.float32, name="x")], ["logits"], meta
    )
    example = np.random.default_rng(0).normal(0, 1, (3, *shape)).astype(np.float32)
    check(data, function, {"x": example}, tolerance)
    return data


def _whole(
    about: Mapping[str, Any],
    batches: ClipBatches,
    config: TrainConfig,
    run: RunFolder,
    resume: bool,
    on_epoch: Callable[[dict[str, float]], None] | None,
) -> Path:
    """A second training on all recordings, to its last epoch; where its weights are."""
    folder = RunFolder(run.root / WHOLE)
    folder.root.mkdir(exist_ok=True)
    told = config.model_copy(
        update={"monitor": "epoch", "patience": None, "tensorboard": False, "mlflow": None}
    )
    prepare(told)
    net = trainable(_built(about, Features.from_dict(about["meta"]["features"])))
    loss, metric = side_by_side(told, batches.classes)
    fit(
        net, batches, lambda net: {}, told, folder, loss=loss, metric=metric,
        resume=resume and folder.checkpoint.exists(), on_epoch=on_epoch,
    )  # fmt: skip
    return folder.weights


def _built(about: Mapping[str, Any], features: Features) -> keras.Model:
    labels = len(about["meta"]["labels"])
    return models.build(about["model"], labels, features=features, **about["options"])


def _mean(looks: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    from keyact.action.keypoint_fusion import softmax

    return np.asarray(softmax(np.asarray(looks / temperature, np.float32)).mean(1), np.float32)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(options)))
    return plain


if __name__ == "__main__":
    export(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]))
