"""What the site has beside the pages in this folder: a hook of MkDocs.

Files from elsewhere in the repository (README, model cards, ...) become pages as they are; links
in them are turned to the pages they mean. The reference of the commands is made from Typer, that
of Python from the packages' ``__all__``, so that neither can be forgotten.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "keyact"
INNER = {"cli", "schema"}  # packages that nobody imports from
MODULES = ("video", "errors", "results")  # public modules beside the packages
BESIDE = {
    "data": ("people", "splits", "check"),
    "evaluate": ("robustness", "comparison", "explanation"),
}
"""Public modules of packages whose names are not taken up by the package."""

_REGISTRY = json.loads((PACKAGE / "weights" / "registry.json").read_text("utf-8"))
_CARDS = {row["card"] for row in _REGISTRY["weights"]}
ELSEWHERE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"src/keyact/weights/{card}": f"models/{card}" for card in sorted(_CARDS)},
}
"""File of the repository -> page of the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that are made here into the navigation."""
    made = {
        "Models": [page for page in ELSEWHERE.values() if page.startswith("models/")],
        "Commands": [f"reference/cli/{name}.md" for name in _command_pages()],
        "Python": [f"reference/{name}.md" for name in _python_pages()],
    }

    def fill(entries: list[Any]) -> None:
        for entry in entries:
            if isinstance(entry, dict):
                ((title, inside),) = entry.items()
                if title in made and inside == "made":
                    entry[title] = made[title]
                elif isinstance(inside, list):
                    fill(inside)

    fill(config.nav or [])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them."""
    for path, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=_adapted(path)))
    for name, text in _command_pages().items():
        files.append(File.generated(config, f"reference/cli/{name}.md", content=text))
    for name, text in _python_pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Readers need not see what only the tests read."""
    return re.sub(r"^<!-- .*? -->\n", "", markdown, flags=re.MULTILINE)


def _adapted(path: str) -> str:
    """A file's text, with its links from where the page will be."""
    here = Path(path).parent
    depth = ELSEWHERE[path].count("/")

    def link(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or not target:
            return found[0]
        place = (ROOT / here / target).resolve().relative_to(ROOT).as_posix()
        if place in ELSEWHERE:
            goal = ELSEWHERE[place]
        elif place.startswith("docs/"):
            goal = place.removeprefix("docs/")
        else:
            return f"{label[1:-1]} (`{place}`)" if not label.startswith("!") else found[0]
        return f"{label}({'../' * depth}{goal}{anchor})"

    text = (ROOT / path).read_text("utf-8")
    return re.sub(r"(!?\[[^\[\]]*\])\(([^()#\s]*)(#[^()\s]*)?\)", link, text)


def _command_pages() -> dict[str, str]:
    """A page per command, from Typer's own documentation of the app."""
    import typer
    from typer.cli import get_docs_for_click

    from keyact.cli import app

    command = typer.main.get_command(app)
    context = typer.Context(command)  # type: ignore[arg-type]
    pages = {}
    for name in command.list_commands(context):  # type: ignore[attr-defined]
        one = command.get_command(context, name)  # type: ignore[attr-defined]
        pages[name] = get_docs_for_click(obj=one, ctx=context, name=f"keyact {name}")
    return dict(sorted(pages.items()))


def _python_pages() -> dict[str, str]:
    """A page per public package or module: its text, then each public name."""
    packages = [
        folder.name
        for folder in sorted(PACKAGE.iterdir())
        if (folder / "__init__.py").is_file() and folder.name not in INNER
    ]
    pages = {"keyact": _python_page("keyact", [PACKAGE / "__init__.py"])}
    for name in packages:
        files = [PACKAGE / name / "__init__.py"]
        files += [PACKAGE / name / f"{module}.py" for module in BESIDE.get(name, ())]
        pages[f"keyact.{name}"] = _python_page(f"keyact.{name}", files)
    for name in MODULES:
        pages[f"keyact.{name}"] = _python_page(f"keyact.{name}", [PACKAGE / f"{name}.py"])
    return pages


def _python_page(title: str, files: list[Path]) -> str:
    parts = [f"# {title}\n"]
    for file in files:
        inner = file.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(part for part in inner if part != "__init__")
        if module != title:
            parts.append(f"## {module}\n")
        level = 2 if module == title else 3
        hidden = {"members": "false", "show_root_heading": "false", "show_root_toc_entry": "false"}
        parts.append(_directive(module, level, **hidden))
        for name in _public(file):
            if (PACKAGE / name / "__init__.py").is_file() and module == "keyact":
                page = f"[keyact.{name}](keyact.{name}.md)"
                parts.append(f"`keyact.{name}` is a package and a function: {page}.\n")
            else:
                parts.append(_directive(f"{module}.{name}", level))
    return "\n".join(parts)


def _directive(path: str, level: int, **options: str) -> str:
    lines = [f"::: {path}", "    options:", f"      heading_level: {level}"]
    lines += [f"      {key}: {value}" for key, value in options.items()]
    return "\n".join(lines) + "\n"


def _public(file: Path) -> list[str]:
    """``__all__``, or what is defined at the top without an underscore."""
    tree = ast.parse(file.read_text("utf-8"))
    defined = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [name for name in ast.literal_eval(node.value) if not name.startswith("_")]
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            defined.append(node.name)
    return defined
