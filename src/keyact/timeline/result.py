"""A video's timeline as a result: one line of JSON per video."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from keyact.errors import InputError
from keyact.results import MAX_JSON_BYTES, Score, Seconds, Text


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Segment(_Result):
    """One action of one person: from when to when, how surely."""

    start: Seconds
    """Seconds since the video began."""
    end: Seconds
    label: Text
    confidence: Score
    """Mean probability over the segment."""

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"a segment ends at {self.end}, before it starts at {self.start}")
        return self


class PersonTimeline(_Result):
    """One person of a video."""

    track_id: int
    """As in the results of the frames."""
    start: Seconds
    """When the person was seen first."""
    end: Seconds
    """When the person was seen last."""
    segments: tuple[Segment, ...] = ()
    """In the order of time; between them the action is unknown."""

    def at(self, seconds: float) -> Segment | None:
        """The segment at a time, if any."""
        return next((s for s in self.segments if s.start <= seconds <= s.end), None)


class VideoTimeline(_Result):
    """Everybody in a video and what they did when."""

    schema_version: Literal["1"] = "1"
    source: Text
    """Path or name of the video."""
    seconds: Annotated[Seconds, Field(ge=0)]
    """Time of the last frame."""
    models: tuple[Text, ...]
    """Names of the models whose verdicts count."""
    people: tuple[PersonTimeline, ...]
    """In the order of their numbers."""

    def to_json(self) -> str:
        """One line of JSON, without a line end."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> VideoTimeline:
        """Read one line that `to_json` wrote.

        Raises
        ------
        InputError : it is something else.
        """
        if len(text) > MAX_JSON_BYTES:
            raise InputError(f"timeline JSON is longer than {MAX_JSON_BYTES >> 20} MiB")
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"bad timeline JSON at {where or 'its start'}: {first['msg']}"
            ) from None
