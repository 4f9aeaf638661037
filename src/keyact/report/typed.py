"""Numbers that somebody typed into a text, where figures have to come from result files.

What may stay: numbers that are part of a name (MobileNetV2, COCO-17, top-1, PCK@0.1, RQ2), numbers
in code, links and citations, and those at the head of a numbered list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from keyact.backends import optional_import

# A name starts with a letter; a fraction in it stands behind an @, so that "x93.5" is no name.
_NAME = re.compile(r"[A-Za-z][\w+/-]*(@\d+(\.\d+)?)?")
_EXACT = ("2D", "3D", "2D/3D")
_TOKEN = re.compile(r"[\w@./+%×,:-]*\d[\w@./+%×,:-]*")
_BLANK = (
    re.compile(r"```.*?```", re.DOTALL),
    re.compile(r"`[^`\n]*[A-Za-z][^`\n]*`"),
    re.compile(r"\]\([^)\s]*\)"),
    re.compile(r"\[@[^\]]*\]"),
    re.compile(r"https?://\S+"),
    re.compile(r"\bStanford 40\b"),  # the one name with a number apart that texts here need
    re.compile(r"^[ \t]*\d+[.)](?=\s)", re.MULTILINE),
)
_HARMLESS = (0, 1)  # of arithmetic: what is left of a whole


class Typed(NamedTuple):
    """A number in a text: its line, and what stands there."""

    line: int
    text: str


def typed_numbers(source: str) -> list[Typed]:
    """Every number of a Jinja text that is neither looked up nor part of a name, by line.

    Raises
    ------
    KeyactError : the package Jinja2 is missing.
    jinja2.TemplateSyntaxError : the text is no template.
    """
    jinja2 = optional_import("jinja2", "report")
    environment = jinja2.Environment()
    prose = []
    for _, kind, value in environment.lex(source):
        keeps = kind == "data"
        prose.append(value if keeps else "\n" * value.count("\n") + "\ufffc")
    found = [*_in_prose("".join(prose)), *_in_code(environment.parse(source), jinja2.nodes)]
    return sorted(set(found))


def _in_prose(text: str) -> Iterator[Typed]:
    for pattern in _BLANK:
        text = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    for token in _TOKEN.finditer(text):
        word = token[0].strip(".,:/-+")
        if not _allowed(word):
            yield Typed(text.count("\n", 0, token.start()) + 1, word)


def _allowed(word: str) -> bool:
    return word in _EXACT or _NAME.fullmatch(word) is not None


def _in_code(node: Any, nodes: Any) -> Iterator[Typed]:
    """Constants that can reach the page: not what is handed to a look-up, a filter or a test."""
    if isinstance(node, nodes.Const):
        value = node.value
        if isinstance(value, str):
            for typed in _in_prose(value):
                yield Typed(node.lineno, typed.text)
        elif not isinstance(value, bool) and value is not None and value not in _HARMLESS:
            yield Typed(node.lineno, str(value))
        return
    children: Any = node.iter_child_nodes()
    if isinstance(node, nodes.Call):
        # Of a look-up (a plain name) the arguments say where; a method's could be text.
        children = [] if isinstance(node.node, nodes.Name) else node.iter_child_nodes()
    elif isinstance(node, (nodes.Filter, nodes.Test)):
        children = [node.node] if node.node is not None else []
    elif isinstance(node, (nodes.Compare, nodes.Getitem, nodes.Slice)):
        children = [] if isinstance(node, nodes.Compare) else [node.node]
    for child in children:
        yield from _in_code(child, nodes)
