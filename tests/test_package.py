from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keyact

ROOT = Path(keyact.__file__).parent
HEAVY = ("onnxruntime", "cv2", "numpy", "pydantic", "supervision", "av", "PIL", "typer", "rich")

# A module may import from its own part and from parts on lines above it.
ORDER = (
    ("errors", "layouts", "results", "schema", "prefetch", "replacing", "lazy", "machine"),
    ("weights", "runtime", "backends"),
    ("media", "formats"),
    ("sequences",),
    ("detect",),
    ("pose",),
    ("track",),
    ("action",),
    ("timeline",),
    ("outputs",),
    ("recognizer",),
    ("video",),
    ("data",),
    ("models",),
    ("train",),
    ("evaluate",),
    ("report",),
    ("live", "serve"),
    ("cli",),
)
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(code: str) -> set[str]:
    listing = run(f"import sys\n{code}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))")
    return set(listing.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import keyact") == set()


def test_the_runtime_waits_for_the_first_photo() -> None:
    assert not loaded_by("import keyact; keyact.Recognizer()") & {"onnxruntime", "supervision"}


@pytest.mark.parametrize("module", ["keyact.layouts", "keyact.results", "keyact.cli"])
def test_no_module_needs_the_runtime_to_be_imported(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"onnxruntime", "supervision", "av"}


@pytest.mark.parametrize("name", keyact.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(keyact, name) is not None
    assert name in dir(keyact)


def test_public_names_are_sorted_and_unknown_ones_are_refused() -> None:
    assert list(keyact.__all__) == sorted(keyact.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = keyact.no_such_name


@pytest.mark.parametrize("package", ["keyact", "keyact.sequences", "keyact.serve"])
def test_lazy_names_and_type_checkers_agree(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == module._HOME
    assert set(typed) <= set(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    if module is keyact:
        assert {*typed, "__version__"} == set(keyact.__all__)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("keyact", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
INNER = [name for name in MODULES if name != "keyact" and not name.endswith("__main__")]


def imports(path: Path, *, when_loaded: bool) -> Iterator[str]:
    """Modules of keyact that a file imports: anywhere in it, or only when it is loaded."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            for alias in node.names:
                submodule = f"{module}.{alias.name}"
                yield submodule if submodule in MODULES else module
        elif when_loaded and (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    for name in visit(ast.parse(path.read_text("utf-8"))):
        if name.split(".")[0] == "keyact":
            yield name


def part(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", INNER)
def test_imports_go_one_way(module: str) -> None:
    assert part(module) in RANK, f"{module}: give it a place in ORDER and in ARCHITECTURE.md"
    for target in imports(MODULES[module], when_loaded=False):
        if target == "keyact":  # the version
            assert part(module) == "cli"
            continue
        assert RANK[part(target)] <= RANK[part(module)], f"{module} imports {target}"


def test_no_import_cycles() -> None:
    graph = {name: set(imports(MODULES[name], when_loaded=True)) - {name} for name in INNER}
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in done or name not in graph:
            return
        for target in sorted(graph[name]):
            # A package's __init__ gathers its own modules, which is no cycle unless they ask back.
            walk(target, (*trail, name))
        done.add(name)

    for name in graph:
        walk(name, ())


@pytest.mark.parametrize("module", INNER)
def test_every_module_can_be_imported_first(module: str) -> None:
    if part(module) == "models":  # they are made of Keras layers
        pytest.importorskip("keras", reason="needs the extra: pip install 'keyact[train]'")
    if part(module) == "serve":
        pytest.importorskip("fastapi", reason="needs the extra: pip install 'keyact[serve]'")
    assert importlib.import_module(module)


def test_architecture_names_every_part() -> None:
    text = (ROOT.parents[1] / "ARCHITECTURE.md").read_text("utf-8")
    missing = [name for name in RANK if name not in text]
    assert not missing


def test_module_and_script_are_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keyact", "--version"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"keyact {keyact.__version__}")


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()
