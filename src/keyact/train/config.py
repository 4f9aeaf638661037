"""What a training run is told: one typed object, from a YAML or TOML file and from flags."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from typing_extensions import Self

from keyact.errors import InputError, UnknownNameError
from keyact.train.sequence_settings import SequenceSettings

MAX_CONFIG_BYTES = 2**20


class Augment(BaseModel):
    """How far a training photo and its key points are moved, mirrored, coloured and hidden.

    The defaults are those that trained the shipped keypoint-fusion. Shares are between 0 and 1;
    lengths are pixels of the network's input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: float = Field(default=0.5, ge=0, le=1, description="share mirrored, joints swapped too")
    area: float = Field(
        default=0.45, gt=0, le=1, description="least part of the photo that is kept"
    )
    aspect: float = Field(default=0.25, ge=0, le=1, description="stretch of the photo, log")
    shift: float = Field(default=0.05, ge=0, le=1, description="move of the box, share of its side")
    zoom: float = Field(default=0.3, ge=0, le=1, description="change of the crop's margin, log")
    rotate: float = Field(
        default=8.0, ge=0, le=90, description="turn of the crop, degrees (deviation)"
    )
    colour: float = Field(
        default=1.0, ge=0, le=2, description="gain, tint and offset; 1 as shipped"
    )
    grey: float = Field(default=0.12, ge=0, le=1, description="share without colour")
    erase: float = Field(default=0.3, ge=0, le=1, description="share with a rectangle painted over")
    degrade: float = Field(
        default=0.0, ge=0, le=1, description="share with noise, blur, compression or haze"
    )
    rand_ops: int = Field(
        default=0, ge=0, le=8, description="RandAugment: operations on each picture"
    )
    rand_magnitude: float = Field(
        default=9.0, ge=0, le=30, description="RandAugment: how strong, of 30"
    )
    no_person: float = Field(
        default=0.15, ge=0, le=1, description="share that sees the photo alone"
    )
    joint_noise: float = Field(default=2.5, ge=0, le=50, description="jitter of the joints, pixels")
    joint_drop: float = Field(default=0.07, ge=0, le=1, description="share of joints left out")
    pose_drop: float = Field(default=0.15, ge=0, le=1, description="share of poses left out")


class TrainConfig(BaseModel):
    """Everything that decides the result of a training run, but for data and model.

    Raises
    ------
    pydantic.ValidationError : a value of the wrong type or out of range. `load_config` turns it
        into one line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # How long, how much at a time
    epochs: int = Field(default=30, ge=1, le=100_000)
    batch: int = Field(default=32, ge=1, le=65_536, description="samples in a step")
    seed: int = Field(default=0, ge=0, lt=2**31)
    monitor: str = Field(default="val_top1", description="what chooses the epoch")
    patience: int | None = Field(
        default=None, ge=1, description="epochs without gain before it stops"
    )

    # The step
    rate: float = Field(default=1e-3, gt=0, le=10, description="peak learning rate of the head")
    backbone_rate: float = Field(
        default=0.3, ge=0, le=1, description="share of it for pretrained layers"
    )
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(default=200, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    clip_norm: float | None = Field(default=5.0, gt=0, description="largest norm of all gradients")
    ema: float = Field(
        default=0.999, ge=0, lt=1, description="decay of the averaged weights; 0 for none"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    jit: bool | None = Field(
        default=None, description="compile with XLA; by the backend when not given"
    )

    # The goal
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of mixup; 0 for none")
    cutmix: float = Field(default=0.0, ge=0, le=10, description="alpha of CutMix; 0 for none")
    teacher: str | None = Field(
        default=None, description="action models to learn from, with commas"
    )
    distill: float = Field(default=0.5, ge=0, le=1, description="weight of the teacher's answer")
    distill_temperature: float = Field(default=2.0, gt=0, le=20)

    # What is trained
    freeze: str | None = Field(
        default=None, description="layer up to which weights stay; or features"
    )
    unfreeze: dict[int, str | None] = Field(
        default_factory=dict, description="from an epoch on, the layer up to which weights stay"
    )
    frozen: bool = Field(
        default=False, description="train the head alone, on features computed once"
    )
    weights: str | None = Field(
        default="imagenet", description="imagenet, a .weights.h5 file, or none"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="for the model's build")
    augment: Augment = Augment()
    sequence: SequenceSettings = SequenceSettings()

    # The machine
    workers: int = Field(default=2, ge=1, le=64, description="threads that prepare batches")
    memory: int = Field(default=2048, ge=0, description="MiB of decoded photos kept")
    tensorboard: bool = True
    mlflow: str | None = Field(default=None, description="MLflow tracking address, or a folder")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.weights == "none":
            object.__setattr__(self, "weights", None)
        late = [epoch for epoch in self.unfreeze if not 0 < epoch < self.epochs]
        if late:
            raise ValueError(f"unfreeze at epoch {late[0]}, but epochs are 1 to {self.epochs - 1}")
        if self.frozen and self.unfreeze:
            raise ValueError("frozen trains the head alone, so unfreeze has nothing to do")
        if self.frozen and (self.mixup or self.cutmix):
            raise ValueError("frozen trains on features, which mixup and cutmix cannot mix")
        return self

    @property
    def minimise(self) -> bool:
        """Whether less of `monitor` is better."""
        return "loss" in self.monitor or self.monitor.endswith(("error", "nll", "ece"))

    def dump(self, run: Mapping[str, object] | None = None) -> str:
        """The settings as YAML; ``run`` stands under that name and is no setting."""
        import yaml

        values = {**({"run": dict(run)} if run else {}), **self.model_dump(mode="json")}
        return str(yaml.safe_dump(values, sort_keys=False))


def load_config(
    file: Path | None = None, *, source: str | None = None, **settings: Any
) -> TrainConfig:
    """Settings from a file, with others on top.

    Parameters
    ----------
    file : ``.yaml``, ``.yml``, ``.toml`` or ``.json``; names of `TrainConfig`'s fields.
    source : what to call the settings in an error.
    settings : on top of the file; a name with dots goes inwards (``augment.flip``).

    Raises
    ------
    UnknownNameError : a setting that does not exist; the nearest is suggested.
    InputError : the file cannot be read, or a value does not fit.
    """
    values: dict[str, Any] = read_settings(file) if file is not None else {}
    values.pop("run", None)
    source = source or (str(file) if file is not None else "settings")
    for name, value in settings.items():
        _put(values, name.split("."), value)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise _one_line(error.errors()[0], source) from None


def read_settings(file: Path) -> dict[str, Any]:
    """The mapping in a YAML, TOML or JSON file.

    Raises
    ------
    InputError
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError(f"{file}: larger than {MAX_CONFIG_BYTES // 2**20} MiB, so no config")
    try:
        values = _parse(data.decode("utf-8"), toml=file.suffix.lower() == ".toml")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{file}: must hold settings as name: value lines")
    return values


def parse_value(text: str) -> Any:
    """A value as YAML writes it: ``3``, ``true``, ``null``, ``[a, b]``; anything else is text.

    ``1e-3`` is a number too, which YAML 1.1 wants as ``1.0e-3``.
    """
    import yaml

    try:
        return (
            float(text)
            if _is_number(text) and not text.lstrip("+-").isdigit()
            else (yaml.safe_load(text))
        )
    except (yaml.YAMLError, RecursionError):
        return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower().lstrip("+-")[:1].isdigit()


def _parse(text: str, *, toml: bool) -> Any:
    if toml:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        return tomllib.loads(text)
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {error}") from None


def _put(values: dict[str, Any], place: list[str], value: Any) -> None:
    for name in place[:-1]:
        inner = values.setdefault(name, {})
        if isinstance(inner, BaseModel):
            inner = values[name] = inner.model_dump()
        if not isinstance(inner, dict):
            raise InputError(f"{'.'.join(place)}: {name} is {inner!r}, which holds no settings")
        values = inner
    name = place[-1]
    if isinstance(value, Mapping) and isinstance(values.get(name), dict):
        for key, item in value.items():
            _put(values[name], [str(key)], item)
    else:
        values[name] = value


def _one_line(error: ErrorDetails, source: str) -> InputError | UnknownNameError:
    place = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        inner: dict[str, type[BaseModel]] = {"augment": Augment, "sequence": SequenceSettings}
        fields = inner.get(place[0], TrainConfig)
        return UnknownNameError("setting", place[-1], fields.model_fields)
    message = error["msg"].removeprefix("Value error, ")
    return InputError(f"{source}: {'.'.join(place) or 'settings'}: {message}")
