"""A report as one HTML file: everything that it shows is in it, nothing is fetched."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyact.backends import optional_import
from keyact.errors import InputError
from keyact.report.document import SCHEME, Report
from keyact.report.pictures import Picture

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_TEMPLATES = Path(__file__).parent / "templates"
_ANCHOR = re.compile(r"&lt;a id=&quot;(ref-[A-Za-z0-9:_-]{1,64})&quot;&gt;&lt;/a&gt;")
_CAPTION = re.compile(r"\*\*(Table|Figure) \d+\.\*\*")


def to_html(report: Report, embed: Callable[[Picture], str] | None = None) -> str:
    """The page.

    Parameters
    ----------
    embed : gives a picture's address; by default its bytes themselves, as a data URI.

    Raises
    ------
    InputError : the text shows a picture that the report did not make.
    KeyactError : the package Jinja2 is missing.
    """
    jinja2 = optional_import("jinja2", "report")
    markup = optional_import("markupsafe", "report").Markup
    parser = _parser()
    tokens = parser.parse(report.markdown)
    contents = _prepare(tokens, report, embed or data_uri)
    body = parser.renderer.render(tokens, parser.options, {})
    body = _ANCHOR.sub(r'<a id="\1"></a>', body)
    # The title stands before the contents, where it is printed.
    head, end, rest = body.partition("</h1>\n") if body.startswith("<h1") else ("", "", body)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string((_TEMPLATES / "page.html").read_text("utf-8"))
    style = (_TEMPLATES / "page.css").read_text("utf-8")
    rendered: str = page.render(
        title=report.title,
        style=markup(style),
        contents=contents,
        head=markup(head + end),
        body=markup(rest),
    )
    return rendered


def data_uri(picture: Picture) -> str:
    """The picture itself as an address."""
    return f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # No HTML: what looks like it shows as text.
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("table_open", lambda *_: '<div class="wide">\n<table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    return parser


def _prepare(
    tokens: Sequence[Token], report: Report, embed: Callable[[Picture], str]
) -> list[dict[str, Any]]:
    """Embed pictures, mark captions, number headings; gives the table of contents."""
    contents: list[dict[str, Any]] = []
    taken: set[str] = set()
    numbers = [0, 0]
    for token, inside in zip(tokens, [*tokens[1:], None], strict=True):
        if inside is None or inside.type != "inline":
            continue
        children = inside.children or []
        images = [child for child in children if child.type == "image"]
        for image in images:
            source = str(image.attrGet("src") or "")
            picture = report.pictures.get(source.removeprefix(SCHEME))
            if picture is None or not source.startswith(SCHEME):
                raise InputError(f"{source[:80]}: no picture of this report; use picture(...)")
            image.attrSet("src", embed(picture))
        if token.type == "paragraph_open" and images and len(children) == 1:
            token.attrSet("class", "picture")
        elif token.type == "paragraph_open" and (kind := _CAPTION.match(inside.content)):
            token.attrSet("class", f"caption {kind[1].lower()}")
        elif token.type == "heading_open":
            plain = "".join(c.content for c in children if c.type in ("text", "code_inline"))
            slug = _slug(plain, taken)
            token.attrSet("id", slug)
            if token.tag in ("h2", "h3"):
                deep = int(token.tag[1]) - 2
                numbers[deep] += 1
                numbers[deep + 1 :] = [0] * (1 - deep)
                number = ".".join(map(str, numbers[: deep + 1]))
                token.attrSet("data-number", number)
                contents.append({"id": slug, "text": plain, "number": number, "deep": deep})
    return contents


def _slug(text: str, taken: set[str]) -> str:
    base = re.sub(r"[^\w-]+", "-", text.casefold()).strip("-") or "section"
    slug, turn = base, 1
    while slug in taken:
        turn += 1
        slug = f"{base}-{turn}"
    taken.add(slug)
    return slug
