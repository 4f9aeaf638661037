"""``keyact.train(...)``: from a data set and the name of a model to a run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keyact import models
from keyact.data import Dataset, load_dataset
from keyact.data.base import extra, in_no_split, learnt_from
from keyact.data.kinds import kind_of
from keyact.data.leakage import refuse_leaks
from keyact.data.splits import copies_across
from keyact.errors import InputError, told_of
from keyact.sequences import Sequence, load_sequences
from keyact.sequences.load import refuse_splits
from keyact.train.config import TrainConfig, load_config, read_settings
from keyact.train.engine import History
from keyact.train.kinds import SEQUENCE_MODEL, default_model
from keyact.train.run import RunFolder

if TYPE_CHECKING:
    from keyact.train.eyes import EyesFile

_ASKED = "run"  # where config.yaml says what was trained on what
_FREE = {"workers", "memory", "tensorboard", "mlflow"}  # may differ when a run goes on


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes
    ----------
    folder : its files.
    history : its epochs.
    metrics : figures of ``folder.model`` on the val split.
    failed : a line for each photo, clip or recording that could not be used.
    """

    folder: RunFolder
    history: History
    metrics: dict[str, float]
    failed: tuple[str, ...] = ()

    @property
    def model(self) -> Path:
        """The trained model, for `keyact.Recognizer` and ``keyact predict --model``."""
        return self.folder.model


def train(
    data: str | Path | Dataset,
    model: str | None = None,
    *,
    name: str | None = None,
    runs: str | Path = "runs",
    config: str | Path | TrainConfig | None = None,
    resume: bool = False,
    format: str | None = None,
    splits: str | Path | None = None,
    detector: str = "persondet-m",
    pose: str = "fastpose-m",
    cache: str | Path | Literal[False] | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    **settings: Any,
) -> Run:
    """Train a model on labelled photos, videos or key point sequences, in ``runs/NAME/``.

    Parameters
    ----------
    data : anything that `keyact.data.load_dataset` reads, or for a sequence model also
        `keyact.sequences.load_sequences`. Of videos the people are followed first, which is kept
        in the cache. Learnt from is the split ``train``, or everything where nothing has a split.
        Where there is no ``val`` a fifth of that is held out, whole groups where there are groups.
    model : a name of `keyact.models.model_names`; when not given, that of the kind of data.
    name : of the run; the model's and the time when not given.
    config : a file of settings, or the settings.
    resume : go on with the run ``name`` from its last whole epoch, with the settings that it has.
        The result is that of a run without a break.
    format, splits : as `keyact.data.load_dataset` takes them.
    detector, pose : who finds the people; as `keyact.data.people.find_people` takes them.
    cache : folder for people and features; see there.
    progress : show bars on stderr.
    say, on_epoch : told what happens in words, and each row of the log.
    settings : of `keyact.train.TrainConfig`, on top of ``config``; ``augment__flip`` is
        ``augment.flip``.

    Raises
    ------
    UnknownNameError : no such model or setting.
    InputError : data, a setting or the run's folder cannot be used.
    """
    model = model or default_model(data, format)
    info = models.get_model(model)
    extra("keras")
    settings = {key.replace("__", "."): value for key, value in settings.items()}
    if resume:
        if name is None:
            raise InputError("resume: say which run to go on with, by its name")
        folder = RunFolder.create(name, runs, resume=True)
        chosen, asked = _resumed(folder, settings)
        model, detector, pose = (asked[key] for key in ("model", "detector", "pose"))
        splits = _same_data(folder, asked, data, splits)
        info = models.get_model(model)
    else:
        chosen = _chosen(model, config, settings)
    dataset: Dataset | list[Sequence]
    eyes: EyesFile | None = None
    failed: list[str] = []
    kind = kind_of(data, format)
    if info.kind == "sequence" and kind == "videos":
        if name is not None and not resume:
            RunFolder.checked(name, runs)  # before hours of work
        clips = data if isinstance(data, Dataset) else load_dataset(data, format, splits=splits)
        dataset, eyes, failed = _followed(
            clips, model, chosen, detector, pose, cache, progress=progress, say=say
        )
    elif kind == "videos":
        raise InputError(
            f"{model}: learns from photos, and {data} holds videos; train a sequence model on "
            f"them, such as {SEQUENCE_MODEL} or keypoint-fusion-temporal"
        )
    elif _looks(model):
        raise InputError(f"{model}: looks at the pictures; give it a folder of video clips")
    elif info.kind == "sequence":
        if isinstance(data, Dataset):
            raise InputError(f"{model}: learns from key point sequences; give their folder")
        from keyact.train.sequence_data import copies_across_sides, refuse_torn_groups

        refuse_splits(splits)
        refuse_torn_groups(data)

        def leave_out(message: str) -> None:
            failed.append(message)
            say(f"left out: {message}")

        dataset = load_sequences(data, format, report=leave_out)
        for line in copies_across_sides(dataset):
            say(f"warning: {line}")
    else:
        dataset = data if isinstance(data, Dataset) else load_dataset(data, format, splits=splits)
    if not resume:
        name = name or f"{model}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = RunFolder.create(name, runs)
        source = data.root if isinstance(data, Dataset) else data
        asked = {"model": model, "data": _place(source), "detector": detector, "pose": pose}
        asked |= {"splits": _place(splits)} if splits is not None else {}
        folder.write_bytes(folder.config, chosen.dump(asked).encode())
    say(f"run: {folder.root}")
    if not isinstance(dataset, Dataset):
        from keyact.train.sequence_run import run_sequences

        history, metrics = run_sequences(
            dataset, model, chosen, folder, eyes=eyes, resume=resume, say=say, on_epoch=on_epoch
        )
        return Run(folder, history, metrics, tuple(failed))
    from keyact.train.photo_run import run_photos

    history, metrics, failed = run_photos(
        dataset,
        model,
        chosen,
        folder,
        detector=detector,
        pose=pose,
        cache=cache,
        resume=resume,
        progress=progress,
        say=say,
        on_epoch=on_epoch,
    )
    return Run(folder, history, metrics, tuple(failed))


def _followed(
    dataset: Dataset,
    model: str,
    config: TrainConfig,
    detector: str,
    pose: str,
    cache: str | Path | Literal[False] | None,
    *,
    progress: bool,
    say: Callable[[str], None],
) -> tuple[list[Sequence], EyesFile | None, list[str]]:
    """Recordings of the clips that are train or val, what looked at them, and what went wrong."""
    from keyact.data.recordings import load_recordings
    from keyact.train.eyes import eyes_of

    eyes = eyes_of(config.sequence.eyes) if _looks(model) else None
    dataset = dataset.labelled()
    refuse_leaks(dataset, [])
    learnt = learnt_from(dataset.samples)
    wanted = [*learnt, *(s for s in dataset.samples if s.split == "val")]
    failed: list[str] = []

    def leave_out(source: str, error: InputError) -> None:
        failed.append(told_of(source, error))
        say(f"left out: {failed[-1]}")

    for problem in dict.fromkeys([*dataset.problems, *copies_across(dataset)]):
        say(f"warning: {problem}")
    if taken_out := in_no_split(dataset.samples):
        say(f"left out: {len(taken_out)} clips in no split, such as {taken_out[0].path}")
    say(f"{dataset.name}: {len(wanted)} clips; people are followed, once")
    recordings = load_recordings(
        replace(dataset, samples=tuple(wanted)),
        detector=detector,
        pose=pose,
        every=config.sequence.every,
        people=config.sequence.people or 1,
        eyes=None if eyes is None else eyes.load(threads=1),
        cache=cache,
        jobs=config.workers,
        on_error=leave_out,
        progress=progress,
    )
    return recordings, eyes, failed


def _place(path: str | Path) -> str:
    return Path(path).expanduser().resolve().as_posix()


def _same_data(
    folder: RunFolder, asked: Mapping[str, str], data: object, splits: str | Path | None
) -> str | Path | None:
    """The splits that a run goes on with: of other data its result would be neither's.

    Raises
    ------
    InputError : it was begun with other data or other splits.
    """
    source = data.root if isinstance(data, Dataset) else data
    begun = asked.get("data")
    if isinstance(source, (str, Path)) and begun not in (None, str(source), _place(source)):
        raise InputError(f"{folder.root}: was begun with the data {begun}, not {source}")
    before = asked.get("splits")
    if splits is not None and (before is None or _place(splits) != before):
        raise InputError(
            f"{folder.root}: was begun with {f'the splits {before}' if before else 'no splits'}, "
            f"not {splits}"
        )
    return before


def _looks(model: str) -> bool:
    """Whether a model looks at the pictures of videos."""
    info = models.get_model(model)
    return info.kind == "sequence" and bool(getattr(import_module(info.module), "EYES", False))


def _chosen(
    model: str, config: str | Path | TrainConfig | None, settings: Mapping[str, Any]
) -> TrainConfig:
    """Settings: the model's own, the file's on top of them, those given on top of all."""
    from keyact.train.photo_run import defaults

    values: dict[str, Any] = {}
    if isinstance(config, TrainConfig):
        values = config.model_dump(exclude_unset=True)
    elif config is not None:
        values = read_settings(Path(config))
        values.pop(_ASKED, None)
    source = "settings" if config is None or isinstance(config, TrainConfig) else str(config)
    return load_config(source=source, **{**defaults(model), **values, **settings})


def _resumed(folder: RunFolder, settings: Mapping[str, Any]) -> tuple[TrainConfig, dict[str, str]]:
    """The run's own settings, and what it was asked to train with."""
    values = read_settings(folder.config)
    asked = values.pop(_ASKED, None)
    if not isinstance(asked, dict) or not {"model", "detector", "pose"} <= set(asked):
        raise InputError(f"{folder.config}: does not say what was trained, under {_ASKED!r}")
    changed = sorted(set(settings) - _FREE)
    if changed:
        raise InputError(
            f"{folder.root}: goes on with the settings in {folder.config.name}, so "
            f"{changed[0]} cannot be another one now"
        )
    config = load_config(source=str(folder.config), **{**values, **settings})
    return config, {key: str(value) for key, value in asked.items()}
