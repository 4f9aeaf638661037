"""``boxing>0.8``: when somebody begins to do something, once each time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from keyact.errors import KeyactError, UnknownNameError
from keyact.live.run import LiveFrame

HOLD = 0.5
"""Seconds that a change must last before it counts."""
KEEP = 0.8
"""An action goes on while its probability is at least this part of the threshold."""
COOLDOWN = 10.0
_FORGET = 10.0  # seconds after which somebody who was not seen is not expected back

_RULE = re.compile(
    r"""\s*(?: "(?P<double>[^"]+)" | '(?P<single>[^']+)' | (?P<plain>[^<>="']+?) )
        \s*(?P<comparison>>=|>)\s*(?P<value>\d+(?:\.\d*)?|\.\d+)\s*(?P<percent>%?)\s*""",
    re.VERBOSE,
)


class RuleError(KeyactError):
    """A rule that cannot be read."""


@dataclass(frozen=True)
class Rule:
    """Fires when somebody's probability of an action comes over a threshold.

    Attributes
    ----------
    label : the action.
    threshold : in [0, 1].
    inclusive : reaching it is enough.
    """

    label: str
    threshold: float
    inclusive: bool = False

    def __str__(self) -> str:
        plain = re.fullmatch(r"[^<>=\"'\s]+( [^<>=\"'\s]+)*", self.label)
        quote = "" if plain else "'" if '"' in self.label else '"'
        comparison = ">=" if self.inclusive else ">"
        return f"{quote}{self.label}{quote}{comparison}{self.threshold!r}"

    def met(self, probability: float) -> bool:
        """Whether the probability is over the threshold."""
        if self.inclusive:
            return probability >= self.threshold
        return probability > self.threshold


def parse_rule(text: str) -> Rule:
    """A rule such as ``boxing>0.8``, ``"field hockey" >= 80%`` or ``ice hockey > .5``.

    Raises
    ------
    RuleError : it is something else, or can never fire.
    """
    found = _RULE.fullmatch(text)
    if not found:
        raise RuleError(f"{text!r}: a rule is an action, > or >=, and a number: 'boxing>0.8'")
    label = found["double"] or found["single"] or found["plain"].strip()
    value = float(found["value"]) / (100 if found["percent"] else 1)
    rule = Rule(label, value, found["comparison"] == ">=")
    if not rule.met(1.0):
        raise RuleError(f"{text!r}: never fires; probabilities lie between 0 and 1")
    return rule


def check_rules(rules: Sequence[Rule], labels: Sequence[str]) -> None:
    """Whether the models know the rules' actions.

    Raises
    ------
    UnknownNameError : they do not.
    """
    for rule in rules:
        if rule.label not in labels:
            raise UnknownNameError("action", rule.label, labels)


@dataclass(frozen=True)
class Event:
    """Somebody began to do something.

    Attributes
    ----------
    time : of the day, ISO 8601 in UTC.
    source, frame, seconds : where in which source; ``seconds`` is None for photos.
    label, probability : what.
    track_id, box : who; None for photos without people.
    rule : that fired.
    """

    time: str
    source: str
    frame: int
    seconds: float | None
    label: str
    probability: float
    track_id: int | None
    box: tuple[float, float, float, float] | None
    rule: str

    def to_json(self) -> str:
        """One line of JSON, without a line end."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


@dataclass
class _Episode:
    """One person and one rule."""

    since: float | None = None  # over the threshold
    below: float | None = None
    on: bool = False
    told: bool = False  # this episode has fired
    fired: float | None = None
    seen: float = 0.0


class Triggers:
    """Watches live frames for what the rules say.

    An action begins when its probability was over the threshold for `HOLD` seconds, and is over
    when it was below `KEEP` of it for as long. In between the rule fires once for each person, and
    not again within the cooldown. Photos stand for themselves: each fires at once, for the person
    it is surest of.

    Parameters
    ----------
    cooldown : seconds.
    """

    def __init__(self, rules: Sequence[Rule], cooldown: float = COOLDOWN) -> None:
        self._rules = tuple(rules)
        self._cooldown = cooldown
        self._episodes: dict[tuple[int, int, int], _Episode] = {}

    def push(self, frame: LiveFrame) -> list[Event]:
        """The next frame of any source; gives what fires."""
        result = frame.result
        if result.timestamp is None:
            return [event for rule in self._rules for event in _of_photo(rule, frame)]
        events = []
        boxes = {person.track_id: person.box for person in result.people}
        for track, probabilities in frame.now.items():
            for number, rule in enumerate(self._rules):
                key = (frame.number, track, number)
                episode = self._episodes.setdefault(key, _Episode())
                value = probabilities.get(rule.label, 0.0)
                if self._advance(episode, rule, value, result.timestamp):
                    events.append(_event(frame, rule, value, track, boxes.get(track)))
        self._forget(frame.number, result.timestamp)
        return events

    def _advance(self, one: _Episode, rule: Rule, value: float, now: float) -> bool:
        one.seen = now
        if not one.on:
            if not rule.met(value):
                one.since = None
                return False
            one.since = now if one.since is None else one.since
            if now - one.since < HOLD:
                return False
            one.on, one.told, one.below = True, False, None
        elif value >= KEEP * rule.threshold and value > 0:
            one.below = None
        else:
            one.below = now if one.below is None else one.below
            if now - one.below >= HOLD:
                one.on, one.since = False, None
            return False
        if one.told or (one.fired is not None and now - one.fired < self._cooldown):
            return False
        one.told, one.fired = True, now
        return True

    def _forget(self, number: int, now: float) -> None:
        oldest = now - max(_FORGET, self._cooldown)
        self._episodes = {
            key: one for key, one in self._episodes.items()
            if key[0] != number or one.seen >= oldest
        }  # fmt: skip


def _of_photo(rule: Rule, frame: LiveFrame) -> list[Event]:
    result = frame.result
    found = [
        (action.probability, person.box)
        for person in result.people
        for action in person.actions
        if action.label == rule.label and rule.met(action.probability)
    ]
    if found:
        value, box = max(found)
        return [_event(frame, rule, value, None, box)]
    if not result.image_only:
        return []
    return [
        _event(frame, rule, action.probability, None, None)
        for action in result.image_actions
        if action.label == rule.label and rule.met(action.probability)
    ]


def _event(
    frame: LiveFrame,
    rule: Rule,
    probability: float,
    track: int | None,
    box: tuple[float, float, float, float] | None,
) -> Event:
    return Event(
        time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        source=frame.result.source,
        frame=frame.result.index,
        seconds=frame.result.timestamp,
        label=rule.label,
        probability=round(probability, 4),
        track_id=track,
        box=box,
        rule=str(rule),
    )
