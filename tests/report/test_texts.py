"""How figures are written, what is escaped, and which numbers count as typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from keyact.errors import InputError
from keyact.report import Sample, typed_numbers
from keyact.report.document import TEXT
from keyact.report.numbers import FILTERS, escape, shown

pytest.importorskip("jinja2")

PROJECT = Path(__file__).resolve().parents[2] / "docs" / "report" / "text.md.j2"


@pytest.mark.parametrize(
    ("name", "value", "options", "text"),
    [
        ("percent", 0.9, {}, "90.0 %"),
        ("percent", Sample(0.9, 0.0042, 3), {}, "90.0 ± 0.4 %"),
        ("percent", Sample(0.9, 0.0, 1), {"digits": 2}, "90.00 %"),
        ("fixed", "0.68571", {}, "0.686"),
        ("fixed", 12.34, {"digits": 1, "unit": "ms"}, "12.3 ms"),
        ("points", -0.0123, {}, "−1.2 points"),
        ("points", 0.0123, {}, "+1.2 points"),
        ("points", 0.0123, {"signed": False}, "1.2 points"),
        ("whole", 2_264_235, {}, "2,264,235"),
        ("millions", 2_655_636, {}, "2.66 M"),
        ("millions", 812, {}, "812"),
        ("probability", 0.0312, {}, "0.031"),
        ("probability", 1e-9, {}, "< 0.0001"),
    ],
)
def test_figures(name: str, value: object, options: dict[str, object], text: str) -> None:
    assert FILTERS[name](value, **options).replace("\u00a0", " ") == text


@pytest.mark.parametrize("value", ["", "many", None, float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="no number"):
        FILTERS["percent"](value)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), max_size=40))
def test_texts_from_files_mean_nothing_in_markdown(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(f"x {escape(text)} x")
    inside = tokens[1].children or []
    assert {token.type for token in inside} <= {"text", "text_special"}
    assert "".join(token.content for token in inside) == f"x {text} x"


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e12, 1e12), st.integers(-(10**9), 10**9))
def test_values_are_shown_as_they_are(real: float, whole: int) -> None:
    assert float(shown(real).replace("−", "-")) == pytest.approx(real, rel=1e-3)
    assert int(shown(whole).replace("−", "-").replace(",", "")) == whole


@pytest.mark.parametrize(
    "text",
    [
        "MobileNetV2, COCO-17, top-1, mAP50, PCK@0.1, RQ2, int8, sports18, 2D and 3D.",
        "`--seeds 0 1 2`, `results/x1.csv`\n\n```\nkeyact train 12\n```",
        "[paper](https://example.org/1234) and [@sandler2018mobilenetv2], on Stanford 40",
        "1. first\n2. second\n",
        "{{ figure('a', 0, seed=3, stat='max') | percent(2) }}",
        "{% if figure('a', 'b') > 0.5 %}much{% endif %}{{ order[2][1].mean }}{{ 1 - x }}",
    ],
)
def test_numbers_of_names_and_look_ups_may_stay(text: str) -> None:
    assert typed_numbers(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("right on 93.4 % of them", "93.4"),
        ("three lines\n\nand 1,007 photos", "1,007"),
        ("improves it 2× and x93.5", "2×"),
        ("in 2018 already", "2018"),
        ("`0.93` in code", "0.93"),
        ("{{ 0.93 | percent }}", "0.93"),
        ("{{ '93.4 %' }}", "93.4"),
        ("{% set top = 0.934 %}{{ top | percent }}", "0.934"),
        ("{{ '{}'.format(12) }}", "12"),
        ("{{ figure('a', 'b') * 100 }}", "100"),
        ("{{ 'up by 7' if figure('a') else 'down' }}", "7"),
    ],
)
def test_typed_numbers_are_found(text: str, found: str) -> None:
    seen = typed_numbers(text)
    assert found.rstrip("%×").strip() in {one.text.rstrip("%×").strip() for one in seen}
    line = text[: text.index(found)].count("\n") + 1
    assert line in {one.line for one in seen}


@pytest.mark.parametrize("path", [TEXT, PROJECT], ids=["default", "project"])
def test_our_own_texts_have_no_typed_number(path: Path) -> None:
    source = path.read_text("utf-8")
    assert typed_numbers(source) == []
    assert len(re.findall(r"figure\(|sample\(", source)) > 10
