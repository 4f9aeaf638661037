"""The cursor finds the same values as the standard library, wherever the text is cut."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyact.errors import InputError
from keyact.formats import json_stream
from keyact.formats.json_stream import MAX_DEPTH, BadEntry, JsonStream

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def stream(text: str | bytes) -> JsonStream:
    return JsonStream(io.BytesIO(text.encode() if isinstance(text, str) else text), "f.json")


def items(text: str | bytes) -> list[object]:
    cursor = stream(text)
    found: list[object] = []
    for _ in cursor.items():
        try:
            found.append(cursor.value())
        except BadEntry as error:
            found.append(error)
    cursor.finish()
    return found


@pytest.fixture(scope="module", params=[1, 2, 3, 7, 256 * 2**10])
def chunk(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@given(values=st.lists(VALUES, max_size=5), indent=st.sampled_from([None, 1]), ascii=st.booleans())
def test_items_are_those_of_the_standard_library(
    chunk: int, values: list[object], indent: int | None, ascii: bool
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        assert items(text) == values


@given(members=st.dictionaries(st.text(max_size=20), VALUES, max_size=5), data=st.data())
def test_members_read_or_skipped(
    chunk: int, members: dict[str, object], data: st.DataObject
) -> None:
    chosen = set(data.draw(st.lists(st.sampled_from(sorted(members) or [""]))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        cursor = stream(json.dumps(members))
        keys, found = [], {}
        for key in cursor.members():
            keys.append(key)
            if key in chosen:
                found[key] = cursor.value()
        cursor.finish()
    assert keys == list(members)
    assert found == {key: value for key, value in members.items() if key in chosen}


def test_nested_items_need_not_be_read_to_the_end() -> None:
    cursor = stream('{"a": [1, 2, 3], "b": {"c": [4, [5]]}, "d": 6}')
    found: list[object] = []
    for key in cursor.members():
        if key == "a":
            found += [cursor.value() for _ in cursor.items()]
        elif key == "b":
            for _ in cursor.members():
                found += [index for index in cursor.items()]
        else:
            found.append(cursor.value())
    assert found == [1, 2, 3, 0, 1, 6]


def test_what_writers_of_key_points_write() -> None:
    values = items(b"\xef\xbb\xbf [NaN, -Infinity, 1e999 , 1.0]\n")
    assert isinstance(values[0], float) and math.isnan(values[0])
    assert values[1:] == [-math.inf, math.inf, 1.0]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ('{"a": }', "not JSON"),
        ("{'a': 1}", "not JSON"),
        ("nul", "not JSON"),
        ("9" * 5000, "not JSON"),  # Python refuses to turn so many digits into a number
        ('{"a": [1, 2}}', "not JSON"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper"),
        ('"' + "x" * 300 + '"', "longer than 200 characters"),
        ("[" + "1," * 300 + "1]", "longer than 200 characters"),
    ],
    ids=lambda value: value[:12],
)
def test_a_bad_entry_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch, entry: str, reason: str
) -> None:
    if "longer" in reason:
        monkeypatch.setattr(json_stream, "MAX_VALUE_CHARS", 200)
    before, bad, after = items(f'[{{"k": "]"}}, {entry}, "\\"end"]')
    assert (before, after) == ({"k": "]"}, '"end')
    assert isinstance(bad, BadEntry) and reason in str(bad)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", '["a', '["a\\', '[{"a": 1}',
        "{", "5", "null", "[1] x", "\x80",
    ],
)  # fmt: skip
def test_a_broken_text_is_an_input_error(text: str) -> None:
    data = text.encode("latin-1")
    with pytest.raises(InputError, match=r"^f\.json: ") as caught:
        items(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{1: 2}", '{"a" 1}', '{"a": }', '{"a": 1', '{"a": 1,}', "{}}"])
def test_a_broken_object_is_an_input_error(text: str) -> None:
    cursor = stream(text)
    with pytest.raises(InputError, match=r"not JSON|ends in the middle"):
        for _ in cursor.members():
            cursor.value()
        cursor.finish()


def test_the_file_size_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(InputError, match="larger than"):
        items("[" + " " * 2**21 + "]")
