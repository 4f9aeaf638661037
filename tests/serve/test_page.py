from __future__ import annotations

import re

import pytest

from keyact.serve.page import page_files

FILES = page_files()
SCRIPTS = [path for path in FILES if path.endswith(".js")]


def text(path: str) -> str:
    return FILES[path][0].decode("utf-8")


@pytest.mark.parametrize("path", FILES)
def test_nothing_comes_from_elsewhere(path: str) -> None:
    addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"')]*", text(path)))
    assert addresses <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", FILES)
def test_every_reference_is_a_file_of_the_page(path: str) -> None:
    found = re.findall(r"(?:src|href)=\"(/[^\"]*)\"", text(path))
    found += [f"/web/{name}" for name in re.findall(r"from \"\./([\w.]+)\"", text(path))]
    assert all(one in FILES or one == "/openapi.json" for one in found), found


@pytest.mark.parametrize("path", SCRIPTS)
def test_results_never_become_html(path: str) -> None:
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in text(path)


def test_the_html_has_no_inline_code() -> None:
    html = text("/")
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)|javascript:", html)
    used = set(re.findall(r"get\(\"([\w-]+)\"\)", text("/web/app.js")))
    assert used <= set(re.findall(r"id=\"([\w-]+)\"", html))
    names = text("/web/app.js").split("fromEntries([")[1].split("]")[0]
    assert set(re.findall(r"\"([\w-]+)\"", names)) <= set(re.findall(r"id=\"([\w-]+)\"", html))
