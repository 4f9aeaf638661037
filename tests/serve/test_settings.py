from __future__ import annotations

import pytest
from pydantic import ValidationError

from keyact.serve import ServeSettings

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"host": "0.0.0.0"}, "set a token"),
        ({"host": "::"}, "set a token"),
        ({"host": "192.168.1.2"}, "set a token"),
        ({"host": "my-machine"}, "set a token"),
        ({"token": "short"}, "at least 16"),
        ({"token": "ä" * 20}, "ASCII"),
        ({"origins": ("*",)}, "no origin"),
        ({"origins": ("https://example.org/page",)}, "no origin"),
        ({"models": ()}, "at least 1"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"timeout": 0}, "greater than 0"),
        ({"port": 70_000}, "65535"),
        ({"prot": 8000}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ServeSettings(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "localhost"},
        {"host": "127.0.0.2"},
        {"host": "::1"},
        {"host": "0.0.0.0", "token": TOKEN},
        {"host": "0.0.0.0", "allow_anonymous": True},
        {"origins": ("https://example.org", "http://localhost:3000")},
    ],
)
def test_what_can_be(given: dict[str, object]) -> None:
    settings = ServeSettings(**given)  # type: ignore[arg-type]
    assert TOKEN not in repr(settings)
