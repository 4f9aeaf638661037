"""``keyact train``: train a model on labelled photos, videos or key point sequences."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from keyact.cli.options import GroupPattern, Images, Labels, Root, reading
from keyact.cli.terminal import FAILED, complain, console, one_line_errors
from keyact.errors import InputError


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Labelled photos or video clips: a folder per label, or a manifest.csv; see "
            "`keyact data`. Or key point sequences: anything that `keyact.sequences` reads.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="What to train; a wrong name lists them all. keypoint-fusion for photos, "
            "stream-ensemble for videos and key point sequences.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How often to go through the photos.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings as YAML or TOML.", dir_okay=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting, such as rate=3e-4 or augment.flip=0; repeat for more.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run; the model's and the time by default.")
    ] = None,
    runs: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the runs.", file_okay=False)
    ] = Path("runs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run --name where it stopped.")
    ] = False,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="Train the head alone, on features computed once: fast."),
    ] = False,
    format: Annotated[
        str | None, typer.Option(help="Format of DATA; told by its files when not given.")
    ] = None,
    splits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Splits, as `keyact data split` makes them.")
    ] = None,
    root: Root = None,
    labels: Labels = None,
    images: Images = None,
    group_pattern: GroupPattern = None,
    detector: Annotated[str, typer.Option(help="Person detector.")] = "persondet-m",
    pose: Annotated[str, typer.Option(help="Pose backend.")] = "fastpose-m",
    every: Annotated[
        int | None,
        typer.Option(min=1, help="Of a video, look at every N-th frame; about 15 a second."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where people and features are kept.")
    ] = None,
) -> None:
    """Train a model on your own actions and write it to RUNS/NAME/model.onnx.

    The people in photos and videos are found once and kept, also when the run is stopped before it
    has found them all. A clip that cannot be read, or has nobody in it, is reported and left out;
    the exit status is 1 then. An epoch that is done is never lost:
    `--resume` goes on after it, to the same result. Without a split `val` a fifth of the photos
    is held out; the epoch, the temperatures and the "unknown" threshold are chosen on it. From key
    point sequences a network is then trained once more, with what was held out (`--set
    sequence.refit=false` leaves that out); their split `test` is never looked at.
    """
    messages = console(stderr=True)
    with one_line_errors():
        values = _parsed(settings or [])
        given = (("epochs", epochs), ("frozen", frozen or None), ("sequence.every", every))
        for key, value in given:
            if value is not None:
                values[key] = value
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks of its start
        from keyact import models
        from keyact.action.clips import is_sequence_network
        from keyact.data import load_dataset
        from keyact.data.base import extra
        from keyact.data.kinds import kind_of
        from keyact.train.session import train as train_on

        began = time.perf_counter()

        def say(line: str) -> None:
            messages.print(line, markup=False, soft_wrap=True)

        def epoch(row: dict[str, float]) -> None:
            figures = [f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "rate")]
            say(f"epoch {row['epoch']:.0f}: {', '.join(figures)}")

        with _quiet():
            if model is not None:
                models.get_model(model)
            extra("keras")
        read = reading(root, labels, images, group_pattern)
        done = train_on(
            load_dataset(data, format, splits=splits, **read) if read else data,
            model,
            name=name,
            runs=runs,
            config=config,
            resume=resume,
            format=format,
            splits=None if read else splits,
            detector=detector,
            pose=pose,
            cache=cache,
            progress=True,
            say=say,
            on_epoch=epoch,
            **values,
        )
        seconds = time.perf_counter() - began
        out = console()
        figures = ", ".join(f"{key} {value}" for key, value in done.metrics.items())
        used = "keyact predict PHOTO"
        if is_sequence_network(done.model):
            videos = kind_of(data, format) == "videos"
            used = "keyact predict CLIP" if videos else f"keyact evaluate {data} --split test"
        for line in (
            f"{done.folder.root}: epoch {done.history.best_epoch} of {len(done.history.rows)}, "
            f"{seconds:.0f} s; val {figures}",
            f"Use it: {used} --model {done.model}",
        ):
            out.print(line, markup=False, soft_wrap=True)
        if done.failed:
            complain(f"{len(done.failed)} files or recordings could not be used", messages)
            raise typer.Exit(FAILED)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the terminal what TensorFlow's C++ part prints while it is loaded."""
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def _parsed(settings: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in settings:
        key, found, value = text.partition("=")
        if not found or not key.strip():
            raise typer.BadParameter(f"--set {text}: write it as KEY=VALUE")
        try:
            from keyact.train.config import parse_value
        except ImportError as error:
            raise InputError(
                f"training needs more packages ({error}): python -m pip install 'keyact[train]'"
            ) from None
        values[key.strip()] = parse_value(value)
    return values
