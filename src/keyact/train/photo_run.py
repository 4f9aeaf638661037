"""Train a photo model in a run's folder: people, batches, epochs, export, calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from keyact import action, models
from keyact.action.keypoint_fusion import KeypointFusion
from keyact.data import Dataset
from keyact.data.base import in_no_split, learnt_from
from keyact.data.leakage import refuse_leaks
from keyact.data.people import find_people
from keyact.data.progress import track
from keyact.data.splits import (
    copies_across,
    every_label_is_learnt,
    make_splits,
    refuse_changes,
    save_splits,
)
from keyact.errors import InputError, KeyactError
from keyact.media.image import load_image
from keyact.replacing import replacing
from keyact.train.calibration import calibrate, figures
from keyact.train.config import TrainConfig
from keyact.train.conversion import with_meta
from keyact.train.engine import History, fit, prepare
from keyact.train.export import export, metadata
from keyact.train.feed import BatchSource
from keyact.train.frozen import FeatureBatches, feature_rows
from keyact.train.layers import set_frozen
from keyact.train.photos import (
    CROP_MARGIN,
    INPUTS,
    PhotoBatches,
    PhotoSet,
    ahead,
    load_photos,
    run_over,
    view_inputs,
)
from keyact.train.run import RunFolder

if TYPE_CHECKING:
    import keras

SIZE = 224  # of crops, for models that see key points alone
VAL_SHARE = 0.2  # of a data set without a val split
MAX_SHOWN = 20  # of what the data set says is wrong with it

Cache = str | Path | Literal[False] | None
Report = Callable[[str], None]


def run_photos(
    dataset: Dataset,
    model: str,
    config: TrainConfig,
    run: RunFolder,
    *,
    detector: str = "persondet-m",
    pose: str = "fastpose-m",
    cache: Cache = None,
    resume: bool = False,
    progress: bool = False,
    say: Report = lambda line: None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[History, dict[str, float], list[str]]:
    """Train, export and calibrate; everything is written to ``run``.

    Returns
    -------
    what happened in the epochs, the figures of the exported file on val, and a line for each
    photo that could not be read.
    """
    for problem in dataset.problems[:MAX_SHOWN]:
        say(f"warning: {problem}")
    if len(dataset.problems) > MAX_SHOWN:
        say(f"... and {len(dataset.problems) - MAX_SHOWN} more; keyact data check says all")
    dataset = with_val(dataset, config.seed, say)
    if resume:
        refuse_changes(dataset, run.root)
    save_splits([dataset], run.root)
    train, val = (
        _photos(dataset.subset(part), dataset.labels, config, detector, pose, cache, progress)
        for part in ("train", "val")
    )
    failed = [problem for photos in (train, val) for problem in photos.problems]
    for problem in failed:
        say(f"left out: {problem}")
    say(f"{len(train)} photos to learn from, {len(val)} to choose on, {len(train.names)} actions")
    taught = teach(config.teacher, train, progress) if config.teacher else None
    info = models.get_model(model)
    about: dict[str, Any] = {"model": model, "options": config.options}
    if "trees" in info.tags:
        from keyact.train.trees import run_trees

        about["meta"] = metadata(run.name, model, train.names, SIZE, CROP_MARGIN)
        run.write_json(run.model_info, about)
        history = run_trees(train, val, config, run, about["meta"])
    else:
        history = _epochs(model, train, val, config, run, taught, about, cache, resume, progress,
                          on_epoch)  # fmt: skip
        export(run)
    return history, finish(run, val, progress), failed


def with_val(dataset: Dataset, seed: int, say: Report) -> Dataset:
    """The labelled photos in train, val and perhaps test.

    Where there is no split val, a share of what is learnt from is held out; see
    `keyact.data.base.learnt_from`.

    Raises
    ------
    LeakageError : a group, or one photo, is on two of the data set's own sides. Copies of a file
        are only told: public data sets have them.
    KeyactError : there is nothing to tell apart, or nothing to learn some action from.
    """
    dataset = dataset.labelled()
    if len({sample.label for sample in dataset.samples}) < 2:
        raise KeyactError(f"{dataset.name}: has one action, {dataset.labels[0]}; a model needs two")
    refuse_leaks(dataset, [])
    for line in copies_across(dataset):
        if line not in dataset.problems:
            say(f"warning: {line}")
    train = learnt_from(dataset.samples)
    splits = {sample.split for sample in dataset.samples}
    if taken_out := in_no_split(dataset.samples):
        say(f"left out: {len(taken_out)} photos in no split, such as {taken_out[0].path}")
    if "val" in splits:
        every_label_is_learnt(dataset)
        return dataset
    rest = replace(dataset, samples=tuple(train))
    grouped = any(sample.group for sample in rest.samples)
    method = "grouped" if grouped else "stratified"
    say(f"{dataset.name}: no split val, so {VAL_SHARE:.0%} of the training photos are held out")
    (fold,) = make_splits(rest, method, val=VAL_SHARE, test=0.0, seed=seed)
    beside = set(map(id, train))
    return replace(
        fold, samples=(*fold.samples, *(s for s in dataset.samples if id(s) not in beside))
    )


def _photos(
    part: Dataset,
    names: Sequence[str],
    config: TrainConfig,
    detector: str,
    pose: str,
    cache: Cache,
    progress: bool,
) -> PhotoSet:
    found = find_people(
        [sample.path for sample in part.samples],
        detector=detector,
        pose=pose,
        cache=cache,
        jobs=config.workers,
        progress=progress,
    )
    return load_photos(part, found, names, config.memory * 2**20)


def _epochs(
    model: str,
    train: PhotoSet,
    val: PhotoSet,
    config: TrainConfig,
    run: RunFolder,
    taught: Sequence[NDArray[np.float32]] | None,
    about: dict[str, Any],
    cache: Cache,
    resume: bool,
    progress: bool,
    on_epoch: Callable[[dict[str, float]], None] | None,
) -> History:
    prepare(config)
    net = models.build(model, len(train.names), **{"weights": config.weights, **config.options})
    inputs = [name for name in INPUTS if name in {value.name for value in net.inputs}]
    sides = [value.shape[1] for value in net.inputs if value.name != "keypoints"]
    size = int(sides[0]) if sides else SIZE
    about["meta"] = metadata(run.name, model, train.names, size, CROP_MARGIN)
    run.write_json(run.model_info, about)
    run.write_environment()
    if not config.frozen:
        batches: BatchSource = PhotoBatches(train, config, inputs, size, CROP_MARGIN, taught)
        validate = photo_validation(val, inputs, size, config)
        return fit(net, batches, validate, config, run, resume=resume, on_epoch=on_epoch)

    def rows(photos: PhotoSet) -> Any:
        return feature_rows(net, photos, inputs, size, CROP_MARGIN, config.workers, cache)

    head = net.get_layer("head")
    set_frozen(net, None)
    kept = rows(train)
    plain = [{name: array[0] for name, array in one.items()} for one in rows(val)]
    batches = FeatureBatches(kept, train, config, taught)
    validate = feature_validation(plain, val.labels, config)
    alone = config.model_copy(update={"freeze": None})
    history = fit(
        head, batches, validate, alone, replace(run, part="head"), resume=resume, on_epoch=on_epoch
    )
    with replacing(run.weights) as part:
        net.save_weights(part)
    return history


def photo_validation(
    photos: PhotoSet, inputs: Sequence[str], size: int, config: TrainConfig
) -> Callable[[keras.Model], dict[str, float]]:
    """Figures of the photos' verdicts: a photo is seen as it will be at inference."""

    def validate(net: keras.Model) -> dict[str, float]:
        def view(i: int) -> Mapping[str, NDArray[Any]]:
            return view_inputs(photos.seen(i, size, CROP_MARGIN), inputs)

        rows = run_over(net, ahead(range(len(photos)), view, config.workers), config.batch)
        return figures([one["logits"] for one in rows], photos.labels)

    return validate


def feature_validation(
    rows: Sequence[Mapping[str, NDArray[Any]]], labels: NDArray[np.intp], config: TrainConfig
) -> Callable[[keras.Model], dict[str, float]]:
    """The same from kept features."""

    def validate(head: keras.Model) -> dict[str, float]:
        wide = ({k: v.astype(np.float32) for k, v in one.items()} for one in rows)
        return figures([one["logits"] for one in run_over(head, wide, 256)], labels)

    return validate


def teach(names: str, photos: PhotoSet, progress: bool) -> list[NDArray[np.float32]]:
    """The mean answer of action models to each photo: a row (C,) for each person and one for the
    photo behind them.

    Raises
    ------
    InputError : a teacher does not know the actions of the data.
    """
    teachers = [action.load(name.strip()) for name in names.split(",") if name.strip()]
    for teacher in teachers:
        lacks = sorted(set(photos.names) - set(teacher.labels))
        if lacks:
            raise InputError(f"teacher {teacher.name}: does not know {', '.join(lacks[:5])}")
    answers = []
    for i in track(range(len(photos)), len(photos), "asking the teacher", progress):
        image = load_image(photos.paths[i])
        mean = np.zeros((len(photos.boxes[i]) + 1, len(photos.names)))
        for teacher in teachers:
            people, photo = teacher(image, photos.boxes[i], photos.keypoints[i])
            order = [teacher.labels.index(name) for name in photos.names]
            mean += np.concatenate([people, photo[None]])[:, order] / len(teachers)
        answers.append(np.asarray(mean / mean.sum(1, keepdims=True), np.float32))
    return answers


def finish(run: RunFolder, val: PhotoSet, progress: bool = False) -> dict[str, float]:
    """Calibrate ``model.onnx`` on val and write its figures.

    What is measured is the very file that will be used, run as it will be run.
    """
    model = action.load(run.model)
    if not isinstance(model, KeypointFusion):
        raise KeyactError(f"{run.model}: cannot be calibrated")
    logits = []
    for i in track(range(len(val)), len(val), "calibrating", progress):
        image = load_image(val.paths[i])
        logits.append(model.logits(image, val.boxes[i], val.keypoints[i]))
    meta = json.loads(run.model_info.read_text("utf-8"))
    meta["meta"] |= calibrate(logits, val.labels)
    found = figures(logits, val.labels, meta["meta"])
    run.write_bytes(run.model, with_meta(run.model.read_bytes(), meta["meta"]))
    run.write_json(run.model_info, meta)
    run.write_json(run.metrics, {"split": "val", "photos": len(val), **found})
    return found


def defaults(model: str) -> dict[str, Any]:
    """Settings that a model trains best with, where the config does not say otherwise."""
    module = import_module(models.get_model(model).module)
    return dict(getattr(module, "DEFAULTS", {}))
