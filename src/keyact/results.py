"""Result types: what keyact found in one photo or video frame.

One frozen, validated family with a public, versioned JSON form (one line per frame, schema in
``keyact/schema/result-v1.schema.json``). Numbers are rounded when a result is made - pixels and
milliseconds to 2 decimals, scores and probabilities to 4 - so that the JSON stays short and
``FrameResult.from_json(result.to_json()) == result`` holds exactly.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from keyact.errors import InputError, UnknownNameError
from keyact.layouts import get_layout

UNKNOWN = "unknown"
"""Action of a person whose best action stays under the model's threshold."""

MAX_JSON_BYTES = 64 * 2**20

_PIXEL_DECIMALS = 2
_SCORE_DECIMALS = 4


def _rounded(decimals: int, low: float = -math.inf, high: float = math.inf) -> AfterValidator:
    """Round, then check the range: float32 sums reach 1.0000001."""

    def check(value: float) -> float:
        value = round(value, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
        if not low <= value <= high:
            raise ValueError(f"{value} lies outside [{low:g}, {high:g}]")
        return value

    return AfterValidator(check)


def _finite(**schema: float) -> Any:
    return Field(allow_inf_nan=False, json_schema_extra=dict(schema))


def _printable(text: object) -> object:
    # File names that are not valid UTF-8 reach Python as lone surrogates, which JSON cannot carry.
    if not isinstance(text, str):
        return text
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that are no bytes of a file name
        data = text.encode("utf-8", "replace")
    return data.decode("utf-8", "replace")


class _FrozenDict(dict[str, float]):
    """Readable, picklable and equal as a dict is, but not to be changed."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("a result cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def _keypoints(value: object) -> NDArray[np.float32]:
    """Finite (K, 3) rows, rounded and read-only."""
    try:
        points = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("keypoints must be numbers, [x, y, score] per joint") from None
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"keypoints have shape (K, 3), got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("keypoints must be finite; mark a missing joint by score 0")
    points[:, :2] = points[:, :2].round(_PIXEL_DECIMALS)
    points[:, 2] = points[:, 2].round(_SCORE_DECIMALS)
    if ((points[:, 2] < 0) | (points[:, 2] > 1)).any():
        raise ValueError("key point scores lie in [0, 1]")
    if (np.abs(points) > np.finfo(np.float32).max).any():
        raise ValueError("key point coordinates exceed the float32 range")
    single = (points + 0.0).astype(np.float32)
    single.flags.writeable = False
    return single


def _keypoint_rows(points: NDArray[np.float32]) -> list[list[float]]:
    # Rounding the float64 value of a float32 gives back the short decimal it was made from.
    return [
        [round(x, _PIXEL_DECIMALS), round(y, _PIXEL_DECIMALS), round(score, _SCORE_DECIMALS)]
        for x, y, score in points.tolist()
    ]


Pixel = Annotated[float, _finite(), _rounded(_PIXEL_DECIMALS)]
Score = Annotated[float, _finite(minimum=0, maximum=1), _rounded(_SCORE_DECIMALS, 0, 1)]
PoseScore = Annotated[float, _finite(minimum=0), _rounded(_SCORE_DECIMALS, 0)]
Milliseconds = Annotated[float, _finite(minimum=0), _rounded(2, 0)]
Seconds = Annotated[float, _finite(), _rounded(6)]
Text = Annotated[str, BeforeValidator(_printable)]
Keypoints = Annotated[
    NDArray[np.float32],
    BeforeValidator(_keypoints),
    PlainSerializer(_keypoint_rows),
    WithJsonSchema(
        {
            "title": "Keypoints",
            "type": "array",
            "description": "One [x, y, score] row per joint of the layout; score 0 is missing.",
            "items": {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 3,
                "maxItems": 3,
            },
        }
    ),
]


def _ranked(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    probabilities = [action.probability for action in actions]
    if probabilities != sorted(probabilities, reverse=True):
        raise ValueError("actions are ranked, the most probable first")
    return actions


class _Result(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class Action(_Result):
    """One action label with its calibrated probability in [0, 1]."""

    label: Text
    probability: Score


class Person(_Result):
    """One person: where, in what pose, doing what. Pixels are those of the upright photo."""

    box: tuple[Pixel, Pixel, Pixel, Pixel]
    """``x1, y1, x2, y2`` in pixels."""
    box_score: Score
    """The detector's confidence."""
    score: PoseScore
    """AlphaPose's pose score (Fang et al., TPAMI 2022): mean joint score + box score +
    1.25 * best joint score; 0 to 3.25."""
    layout: Text
    """Name of the skeleton layout of ``keypoints``."""
    keypoints: Keypoints
    """(K, 3) read-only float32 array of ``x, y, score`` in pixels; score 0 means missing."""
    track_id: int | None = None
    """The same number for the same person across the frames of a video."""
    pose_age: Annotated[int, Field(ge=0)] = 0
    """Frames since the person was looked at: key points moved with the box since, actions of then.

    0 unless a live run looks at people in turn to keep up.
    """
    action: Text = UNKNOWN
    """The best action, or ``unknown`` when the model is not sure enough."""
    actions: Annotated[tuple[Action, ...], AfterValidator(_ranked)] = ()
    """Best actions, most probable first."""
    settled: Text | None = None
    """Live: what the person does as far as time has confirmed it, or ``unknown``; else null."""
    posture: Text | None = None
    """Standing, sitting and so on, from the key points alone."""

    @field_validator("layout")
    @classmethod
    def _known_layout(cls, value: str) -> str:
        try:
            get_layout(value)
        except UnknownNameError as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        x1, y1, x2, y2 = self.box
        if x2 < x1 or y2 < y1:
            raise ValueError(f"box is x1, y1, x2, y2 with x1 <= x2 and y1 <= y2, got {self.box}")
        size = len(get_layout(self.layout))
        if len(self.keypoints) != size:
            raise ValueError(f"{self.layout} has {size} joints, got {len(self.keypoints)}")
        if self.actions and self.action not in (UNKNOWN, self.actions[0].label):
            raise ValueError(
                f"action {self.action!r} is neither the first of actions nor {UNKNOWN!r}"
            )
        return self

    # An array has no single truth value and no hash, so pydantic's own methods would fail.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Person):
            return NotImplemented
        return self._scalars() == other._scalars() and np.array_equal(
            self.keypoints, other.keypoints
        )

    def __hash__(self) -> int:
        return hash((self._scalars(), self.keypoints.tobytes()))

    # NumPy gives every copy of an array, and every one that was pickled, writable again.
    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self.keypoints.flags.writeable = False

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        copied.keypoints.flags.writeable = False
        return copied

    def _scalars(self) -> tuple[Any, ...]:
        return tuple(value for name, value in self if name != "keypoints")


class FrameResult(_Result):
    """Everything found in one photo or video frame."""

    schema_version: Literal["1"] = "1"
    """Version of this JSON form."""
    source: Text
    """Path or name of the photo or video."""
    index: Annotated[int, Field(ge=0)] = 0
    """Frame number, from 0; 0 for a photo."""
    timestamp: Seconds | None = None
    """Seconds from the start of the video; null for a photo."""
    width: Annotated[int, Field(gt=0)]
    """Width of the upright photo in pixels."""
    height: Annotated[int, Field(gt=0)]
    """Height of the upright photo in pixels."""
    image_action: Text = UNKNOWN
    """Best action of the photo as a whole, or ``unknown``."""
    image_actions: Annotated[tuple[Action, ...], AfterValidator(_ranked)] = ()
    """Actions of the photo as a whole, most probable first."""
    image_only: bool
    """True when no person was found, so that the whole photo is all the actions rest on."""
    people: tuple[Person, ...]
    """People found, in the recogniser's order."""
    timings_ms: Annotated[dict[str, Milliseconds], AfterValidator(_FrozenDict)]
    """Milliseconds spent on ``decode``, ``detect``, ``pose``, ``action`` and in ``total``."""
    model: Text
    """Name of the action model."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.image_only and self.people:
            raise ValueError("image_only says that no person was found, yet people are listed")
        if self.image_actions and self.image_action not in (UNKNOWN, self.image_actions[0].label):
            raise ValueError(
                f"image_action {self.image_action!r} is neither the first of image_actions "
                f"nor {UNKNOWN!r}"
            )
        return self

    def __hash__(self) -> int:
        return hash((self.source, self.index, self.people, self.image_actions))

    def top(self, count: int) -> FrameResult:
        """The result with the best ``count`` actions of everyone and of the photo only."""
        people = tuple(
            person.model_copy(update={"actions": person.actions[:count]}) for person in self.people
        )
        ranked = self.image_actions[:count]
        return self.model_copy(update={"image_actions": ranked, "people": people})

    def to_json(self) -> str:
        """The result as one line of JSON, without a line end."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> FrameResult:
        """Read one line of JSON that :meth:`to_json` wrote.

        Raises
        ------
        InputError
            If the text is not JSON, not of this schema version, breaks a rule of the schema or
            is longer than 64 MiB.
        """
        if len(text) > MAX_JSON_BYTES:
            raise InputError(f"result JSON is longer than {MAX_JSON_BYTES >> 20} MiB")
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            at = f" at {where}" if where else ""
            raise InputError(f"bad result JSON{at}: {first['msg']}{more}") from None


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one line of keyact's JSON output."""
    schema = FrameResult.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:keyact:result:1",
        **schema,
    }
