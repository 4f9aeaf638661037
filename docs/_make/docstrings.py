"""keyact's docstrings, written for a terminal, in the form that Griffe reads: an extension of it.

``name : what it is.`` on one line stands for NumPy's two lines, and types are in the signature.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"([A-Z][a-z]+(?: [A-Z][a-z]+)?)\n(-{3,})\n")
_TYPE = re.compile(
    r"(str|int|float|bool|bytes|Path|PIL|ndarray|array|array_like|iterable|callable|object|dict|"
    r"list|tuple|sequence|Frame|FrameResult)\b(.*[^.])?|\{.*\}.*"
)
_ITEM = re.compile(r"([\w*][\w*., ]*?) : (.+)")
_ROLE = re.compile(r":(?:class|meth|func|attr|mod|exc):`[~.]?([^`]+)`")


class Docstrings(griffe.Extension):
    """Rewrites each docstring once."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """The docstring as NumPy has it."""
    text = _ROLE.sub(r"`\1`", text)
    head, *rest = _SECTION.split(text)
    parts = [head]
    for title, line, body in zip(*[iter(rest)] * 3, strict=True):
        items = _returned(body) if title in ("Returns", "Yields") else _two_lines(body)
        parts.append(f"{title}\n{line}\n{items}")
    return "".join(parts)


def _returned(body: str) -> str:
    """What is given back has a type in the signature, and perhaps a name."""
    if re.search(r"^\s+\S", body, re.MULTILINE) and _TYPE.fullmatch(body.splitlines()[0]):
        return body
    lines = []
    for line in body.splitlines():
        item = _ITEM.fullmatch(line)
        if item:
            lines += [f"{item[1]} :", f"    {item[2]}"]
        elif line[:1] in ("", " "):
            lines.append(line)
        else:
            lines += [":", f"    {line}"]
    return "\n".join(lines) + "\n"


def _two_lines(body: str) -> str:
    lines = []
    for line in body.splitlines():
        item = _ITEM.fullmatch(line)
        if item and not _TYPE.fullmatch(item[2]):
            lines += [item[1], f"    {item[2]}"]
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"
