from __future__ import annotations

import copy
import json
import pickle
from importlib import resources
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from keyact.errors import InputError, KeyactError, UnknownNameError, WeightsError
from keyact.results import MAX_JSON_BYTES, Action, FrameResult, Person, json_schema

KEYPOINTS = np.column_stack([np.arange(17) * 10.123456, np.arange(17) * 7.0, np.full(17, 0.5)])
RANKED = (Action(label="golf", probability=0.75), Action(label="tennis", probability=0.125))


def make_person(**changes: Any) -> Person:
    values: dict[str, Any] = {
        "box": (1.0, 2.0, 30.456, 40.0),
        "box_score": 0.9,
        "score": 2.5,
        "layout": "coco17",
        "keypoints": KEYPOINTS,
        "action": "golf",
        "actions": RANKED,
        "posture": "standing",
    }
    return Person(**{**values, **changes})


def make_frame(**changes: Any) -> FrameResult:
    values: dict[str, Any] = {
        "source": "photo.jpg",
        "width": 640,
        "height": 480,
        "image_action": "golf",
        "image_actions": RANKED,
        "image_only": False,
        "people": (make_person(),),
        "timings_ms": {"total": 12.3456},
        "model": "keypoint-fusion",
    }
    return FrameResult(**{**values, **changes})


def test_json_line_has_the_documented_form() -> None:
    line = make_frame(index=3, timestamp=0.1234567).to_json()
    assert "\n" not in line
    data = json.loads(line)
    assert list(data) == [
        "schema_version",
        "source",
        "index",
        "timestamp",
        "width",
        "height",
        "image_action",
        "image_actions",
        "image_only",
        "people",
        "timings_ms",
        "model",
    ]
    assert data["timestamp"] == 0.123457
    assert data["timings_ms"] == {"total": 12.35}
    assert data["image_actions"][0] == {"label": "golf", "probability": 0.75}
    person = data["people"][0]
    assert person["box"] == [1.0, 2.0, 30.46, 40.0]
    assert person["keypoints"][1] == [10.12, 7.0, 0.5]
    assert person["track_id"] is None


finite = st.floats(-1e5, 1e5)
unit = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(finite, finite, unit), min_size=13, max_size=13),
    box=st.lists(finite, min_size=4, max_size=4),
    scores=st.lists(unit, min_size=4, max_size=4),
    source=st.text(),
    timestamp=st.none() | st.floats(0, 1e6),
    track=st.none() | st.integers(0, 10**6),
)
def test_json_round_trip_is_exact(rows, box, scores, source, timestamp, track) -> None:
    xs, ys = sorted(box[:2]), sorted(box[2:])
    actions = tuple(
        Action(label=f"a{i}", probability=p) for i, p in enumerate(sorted(scores, reverse=True))
    )
    person = make_person(
        box=(xs[0], ys[0], xs[1], ys[1]),
        box_score=scores[0],
        score=3.25 * scores[1],
        layout="penn13",
        keypoints=rows,
        track_id=track,
        action="unknown",
        actions=actions,
    )
    frame = make_frame(source=source, timestamp=timestamp, people=(person,))
    line = frame.to_json()
    again = FrameResult.from_json(line)
    assert again == frame
    assert again.to_json() == line
    assert FrameResult.from_json(line.encode()) == frame
    jsonschema.validate(json.loads(line), json_schema())


def test_committed_schema_is_current() -> None:
    text = resources.files("keyact.schema").joinpath("result-v1.schema.json").read_text("utf-8")
    assert json.loads(text) == json_schema(), "run: python -m keyact.schema (see keyact.schema)"
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("people", 0, "box_score"), 1.5),
        (("people", 0, "keypoints", 0), [1, 2]),
        (("people", 0, "box"), [1, 2, 3]),
        (("image_actions", 0, "probability"), -0.1),
        (("width",), 0),
        (("schema_version",), "2"),
        (("extra",), 1),
    ],
)
def test_schema_and_reader_refuse_the_same(path: tuple[Any, ...], value: Any) -> None:
    data = json.loads(make_frame().to_json())
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json_schema())
    with pytest.raises(InputError, match="bad result JSON"):
        FrameResult.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad result JSON"),
        ("{", "bad result JSON"),
        ("[]", "bad result JSON"),
        ("{}", r"bad result JSON at source: .* \(and \d+ more\)"),
        (b"\xff\xfe", "bad result JSON"),
        ("[" * 100_000, "bad result JSON"),
        (make_frame().to_json().replace("640", '"640"'), "bad result JSON at width"),
        (make_frame().to_json().replace("coco17", "coco18"), "did you mean 'coco17'"),
        (make_frame().to_json().replace("0.75", "NaN"), "bad result JSON"),
    ],
)
def test_bad_json_is_one_clear_line(text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        FrameResult.from_json(text)
    assert "\n" not in str(caught.value)


def test_json_beyond_the_cap_is_refused() -> None:
    with pytest.raises(InputError, match="longer than 64 MiB"):
        FrameResult.from_json(b" " * (MAX_JSON_BYTES + 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box": (3, 0, 1, 5)}, "x1 <= x2"),
        ({"box": (0, 0, float("inf"), 5)}, "finite"),
        ({"box_score": 1.01}, "outside"),
        ({"score": -0.1}, "outside"),
        ({"layout": "coco18"}, "did you mean 'coco17'"),
        ({"keypoints": KEYPOINTS[:16]}, "has 17 joints, got 16"),
        ({"keypoints": KEYPOINTS[:, :2]}, r"shape \(K, 3\)"),
        ({"keypoints": np.full((17, 3), np.nan)}, "finite"),
        ({"keypoints": np.full((17, 3), 2.0)}, r"scores lie in \[0, 1\]"),
        ({"keypoints": "nonsense"}, "must be numbers"),
        ({"keypoints": np.full((17, 3), [1e39, 0, 0])}, "float32 range"),
        ({"actions": RANKED[::-1], "action": "unknown"}, "ranked"),
        ({"action": "tennis"}, "neither the first"),
        ({"nickname": "Bo"}, "Extra inputs"),
    ],
)
def test_person_is_validated(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_person(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": -1}, "greater than or equal to 0"),
        ({"width": 0}, "greater than 0"),
        ({"image_only": True}, "no person was found"),
        ({"image_action": "chess"}, "neither the first"),
        ({"timings_ms": {"total": float("nan")}}, "finite"),
        ({"schema_version": "2"}, "Input should be '1'"),
    ],
)
def test_frame_is_validated(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_frame(**changes)


def test_numpy_numbers_and_rounding_noise_are_accepted() -> None:
    action = Action(label="golf", probability=np.float32(1.0000001))
    assert action.probability == 1.0
    person = make_person(box=np.float32([0, 0, 10.004, 20]), score=np.float32(2), actions=(action,))
    assert person.box == (0.0, 0.0, 10.0, 20.0)
    assert make_frame(width=np.int64(5)).width == 5


@pytest.mark.parametrize(
    ("name", "shown"), [("caf\udce9.jpg", "caf\ufffd.jpg"), ("a\ud800.jpg", "a?.jpg")]
)
def test_file_name_that_is_not_utf8_still_gives_json(name: str, shown: str) -> None:
    frame = make_frame(source=name)
    assert frame.source == shown
    assert FrameResult.from_json(frame.to_json()) == frame


def test_results_are_frozen_and_compare_by_value() -> None:
    person = make_person()
    with pytest.raises(ValidationError, match="frozen"):
        person.action = "tennis"
    with pytest.raises(ValueError, match="read-only"):
        person.keypoints[0, 0] = 1
    timings = make_frame().timings_ms
    for change in (lambda: timings.update(total=-5), lambda: timings.__setitem__("total", -5)):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert person == make_person()
    assert hash(person) == hash(make_person())
    moved = KEYPOINTS.copy()
    moved[0, 0] += 1
    assert person != make_person(keypoints=moved)
    assert person != make_person(track_id=1)
    assert person != "person"
    assert make_frame() != make_frame(index=1)
    assert len({make_frame(), make_frame()}) == 1


def test_the_callers_array_stays_writable_and_apart() -> None:
    points = KEYPOINTS.astype(np.float32)
    person = make_person(keypoints=points)
    points[0] = 99
    assert person.keypoints[0].tolist() == [0, 0, 0.5]


@pytest.mark.parametrize(
    "clone",
    [
        copy.copy,
        copy.deepcopy,
        lambda frame: frame.model_copy(deep=True),
        lambda frame: pickle.loads(pickle.dumps(frame)),
        lambda frame: pickle.loads(pickle.dumps(frame, protocol=2)),
    ],
)
def test_results_can_be_copied_and_sent(clone) -> None:
    frame = make_frame()
    again = clone(frame)
    assert again == frame and hash(again) == hash(frame)
    with pytest.raises(ValueError, match="read-only"):
        again.people[0].keypoints[0, 0] = 1
    with pytest.raises(TypeError, match="cannot be changed"):
        again.timings_ms.update(total=-5)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        (
            "fastpos",
            ["fastpose-m", "movenet"],
            "unknown pose backend 'fastpos'; did you mean 'fastpose-m'? "
            "(known: fastpose-m, movenet)",
        ),
        ("FASTPOSE-M", ["fastpose-m"], "did you mean 'fastpose-m'?"),
        ("zzz", ["fastpose-m"], "unknown pose backend 'zzz' (known: fastpose-m)"),
        ("a", [], "unknown pose backend 'a' (known: none)"),
    ],
)
def test_unknown_name_message(name: str, known: list[str], message: str) -> None:
    error = UnknownNameError("pose backend", name, known)
    assert message in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("error", [InputError, UnknownNameError, WeightsError])
def test_one_base_catches_all(error: type[Exception]) -> None:
    assert issubclass(error, KeyactError)
