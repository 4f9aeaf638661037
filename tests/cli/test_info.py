from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import keyact
from keyact import weights

Invoke = Callable[..., Any]


def test_json_has_what_a_bug_report_needs(invoke: Invoke) -> None:
    done = invoke("info", "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert facts["keyact"] == keyact.__version__
    assert "CPUExecutionProvider" in facts["providers"]
    assert facts["threads"] >= 1
    assert all(facts["packages"].values())
    assert {row["name"]: row["sha256"] for row in facts["weights"]} == {
        entry.name: entry.digest() for entry in weights.entries()
    }
    assert all(row["verified"] is not False for row in facts["weights"])


def test_the_tables_say_the_same(invoke: Invoke) -> None:
    done = invoke("info")
    assert done.exit_code == 0
    assert keyact.__version__ in done.stdout
    assert "CPUExecutionProvider" in done.stdout
    assert "tiny-pose" in done.stdout


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_changed_weights_are_told(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    entry = weights.get("pose", "tiny-pose")
    changed = replace(entry, sha256="0" * 64)
    monkeypatch.setattr(weights, "entries", lambda kind=None: [changed])
    done = invoke("info", *form)
    assert done.exit_code == 1
    assert "reinstall" in done.stderr
    if form:
        assert json.loads(done.stdout)["weights"][0]["verified"] is False
    else:
        assert "CHANGED" in done.stdout
