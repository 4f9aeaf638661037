from __future__ import annotations

import itertools
import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyact.errors import UnknownNameError
from keyact.live.events import Event, Rule, RuleError, Triggers, check_rules, parse_rule
from keyact.live.run import LiveFrame
from keyact.results import Action, FrameResult, Person


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("boxing>0.8", Rule("boxing", 0.8)),
        ("boxing >= 1", Rule("boxing", 1.0, True)),
        (" field hockey > .5 ", Rule("field hockey", 0.5)),
        ('"field hockey">=80%', Rule("field hockey", 0.8, True)),
        ("'a > b' > 0", Rule("a > b", 0.0)),
        ("ice_hockey>7.5%", Rule("ice_hockey", 0.075)),
    ],
)
def test_rules(text: str, rule: Rule) -> None:
    parsed = parse_rule(text)
    assert (parsed.label, parsed.inclusive) == (rule.label, rule.inclusive)
    assert parsed.threshold == pytest.approx(rule.threshold)


@pytest.mark.parametrize(
    "text", ["", "boxing", "boxing<0.8", ">0.8", "boxing>", "boxing>high", "a>0.5>0.2",
             "boxing=>0.5", "'boxing>0.8", "boxing>-0.1", "boxing>1e-3"],
)  # fmt: skip
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(RuleError, match=r"a rule is an action, > or >=, and a number"):
        parse_rule(text)


@pytest.mark.parametrize("text", ["boxing>1", "boxing>=1.01", "boxing>80", "boxing>100%"])
def test_rules_that_never_fire(text: str) -> None:
    with pytest.raises(RuleError, match="never fires"):
        parse_rule(text)


labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: not ('"' in text and "'" in text)
)


@given(labels, st.floats(0, 0.999), st.booleans())
def test_a_rule_reads_its_own_text(label: str, threshold: float, inclusive: bool) -> None:
    rule = Rule(label, float(f"{threshold:.6f}"), inclusive)
    if "e" not in repr(rule.threshold):
        assert parse_rule(str(rule)) == rule


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_an_error_of_ours(text: str) -> None:
    try:
        rule = parse_rule(text)
    except RuleError:
        return
    assert rule.label and 0 <= rule.threshold <= 1 and rule.met(1.0)


def test_labels_are_checked() -> None:
    check_rules([parse_rule("boxing>.5")], ("boxing", "tennis"))
    with pytest.raises(UnknownNameError, match="did you mean 'boxing'"):
        check_rules([parse_rule("boxin>.5")], ("boxing", "tennis"))


def frame(
    seconds: float | None, number: int = 0, people: tuple[Person, ...] = (), **now: float
) -> LiveFrame:
    """``now`` are the probabilities of boxing by track: ``_1=0.9``."""
    result = FrameResult(
        source="door", index=int(10 * (seconds or 0)), timestamp=seconds, width=9, height=9,
        image_only=not people, people=people, timings_ms={}, model="m",
        image_actions=(Action(label="boxing", probability=0.9),),
    )  # fmt: skip
    tracks = {int(name[1:]): {"boxing": value} for name, value in now.items()}
    return LiveFrame("door", number, np.zeros((9, 9, 3), np.uint8), result, 0.0, tracks)


def fired(values: list[float], cooldown: float = 0.0, rule: str = "boxing>0.5") -> list[float]:
    """Seconds at which one person's probabilities fire, ten to a second."""
    triggers = Triggers([parse_rule(rule)], cooldown)
    return [
        event.seconds
        for number, value in enumerate(values)
        for event in triggers.push(frame(number / 10, _1=value))
    ]


@pytest.mark.parametrize(
    ("values", "cooldown", "expected"),
    [
        ([0.9] * 30, 0, [0.5]),  # once, after it held for half a second
        ([0.9] * 4 + [0.1] * 20, 0, []),  # too short
        ([0.9, 0.1] * 20, 0, []),  # flicker
        ([0.9] * 20 + [0.45, 0.42] * 20, 0, [0.5]),  # a little below it goes on
        ([0.9] * 10 + [0.1] * 4 + [0.9] * 20, 0, [0.5]),  # so does it over a short gap
        ([0.9] * 10 + [0.1] * 10 + [0.9] * 10, 0, [0.5, 2.5]),  # over, and again
        ([0.9] * 10 + [0.1] * 10 + [0.9] * 10, 10, [0.5]),  # too soon
        ([0.9] * 10 + [0.1] * 10 + [0.9] * 30, 3, [0.5, 3.5]),  # as soon as it may
        ([0.5] * 10, 0, []),
    ],
)
def test_a_rule_fires_once_per_episode(
    values: list[float], cooldown: float, expected: list[float]
) -> None:
    assert fired(values, cooldown) == pytest.approx(expected)


def test_reaching_the_threshold_is_enough_when_it_says_so() -> None:
    assert fired([0.5] * 10, rule="boxing>=0.5") == [0.5]
    assert fired([0.0] * 10 + [0.1] * 10 + [0.0] * 30, rule="boxing>0") == [1.5]


@given(st.lists(st.floats(0, 1), max_size=60))
def test_events_are_never_closer_than_the_cooldown(values: list[float]) -> None:
    times = fired(values, cooldown=1.0)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in itertools.pairwise(times))


def test_each_person_source_and_rule_has_its_own() -> None:
    triggers = Triggers([parse_rule("boxing>.5"), parse_rule("boxing>.8")])
    events = []
    for number in range(10):
        events += triggers.push(frame(number / 10, 0, _1=0.9, _2=0.6))
        events += triggers.push(frame(number / 10, 1, _1=0.7))
    assert sorted((e.track_id, e.rule, e.probability) for e in events) == [
        (1, "boxing>0.5", 0.7), (1, "boxing>0.5", 0.9), (1, "boxing>0.8", 0.9),
        (2, "boxing>0.5", 0.6),
    ]  # fmt: skip
    event = json.loads(events[0].to_json())
    assert set(event) == set(Event.__dataclass_fields__) and event["source"] == "door"
    assert datetime.fromisoformat(event["time"]).utcoffset().total_seconds() == 0


def test_memory_is_that_of_the_people_in_sight() -> None:
    triggers = Triggers([parse_rule("boxing>.5")], cooldown=1)
    for number in range(2000):
        triggers.push(frame(number / 10, **{f"_{number // 20}": 0.9}))
    assert len(triggers._episodes) < 10


def test_photos_fire_at_once_and_each_for_itself() -> None:
    def somebody(probability: float) -> Person:
        return Person(
            box=(1, 1, 5, 5), box_score=0.9, score=1, layout="coco17", keypoints=np.zeros((17, 3)),
            actions=(Action(label="boxing", probability=probability),),
        )  # fmt: skip

    triggers = Triggers([parse_rule("boxing>.5")])
    for _ in range(2):
        (event,) = triggers.push(frame(None, people=(somebody(0.6), somebody(0.8))))
        assert (event.probability, event.track_id, event.box) == (0.8, None, (1, 1, 5, 5))
    assert triggers.push(frame(None, people=(somebody(0.2),))) == []
    (event,) = triggers.push(frame(None))
    assert (event.probability, event.box) == (0.9, None)
