"""Exceptions that keyact raises; ``str(error)`` is one line fit for a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KeyactError(Exception):
    """Base of every error that keyact raises on purpose."""


class InputError(KeyactError):
    """A photo, video or JSON text cannot be used; the message names the source."""


class WeightsError(KeyactError):
    """A weight file is missing, fails its hash or carries wrong metadata."""


def told_of(source: str, error: KeyactError) -> str:
    """The words of an error, the name of its source first if they do not hold it."""
    text = str(error)
    return text if source in text else f"{source}: {text}"


class UnknownNameError(KeyactError):
    """A name that is not in a registry; the message suggests the nearest known one.

    Parameters
    ----------
    kind : str
        What was looked up, in words: ``"pose backend"``.
    name : str
        The name that was asked for.
    known : iterable of str
        Names that would have worked.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(kind, name, self.known)

    def __str__(self) -> str:
        # Case is folded so that "COCO17" still finds "coco17".
        folded = {known.casefold(): known for known in self.known}
        near = difflib.get_close_matches(str(self.name).casefold(), folded, n=1, cutoff=0.5)
        hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
        known = ", ".join(self.known) or "none"
        return f"unknown {self.kind} {self.name!r}{hint} (known: {known})"
