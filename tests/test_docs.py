"""The documentation is true: its blocks run, what it names exists, the site builds.

Blocks of a page run in their order, in one folder with the files that the page speaks of. A block
under ``<!-- not run: REASON -->`` is left out; `REASONS` are the reasons there are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from onnx_models import make_action, make_pose
from sequence_files import write_ntu, write_penn
from typer.testing import CliRunner

from keyact import weights
from keyact.cli import app
from keyact.cli.demo import demo_photo
from keyact.evaluate import output
from keyact.models import model_names
from keyact.results import FrameResult
from keyact.timeline import VideoTimeline
from notebooks import drawn

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted(DOCS.rglob("*.md")),
]
REASONS = {
    "downloads",
    "installs packages",
    "needs a camera",
    "needs a GPU",
    "needs Docker",
    "needs the shared data",
    "runs for hours",
    "runs these tests",
}
ADDRESS = "127.0.0.1:8000"
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]*) -->\n)?(?:<!-- [\w-]+ -->\n)?"
    r"```(?P<kind>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
WRITES = ("--json", "--csv", "--save", "--out", "-o", "--timeline", "--save-alphapose", "--sheet")
NAMES = [page.relative_to(REPOSITORY).as_posix() for page in PAGES]
EVERY = list(zip(NAMES, PAGES, strict=True))


class Block(NamedTuple):
    kind: str
    code: str
    reason: str | None


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [Block(one["kind"], one["code"], one["reason"]) for one in found]


def command_lines(code: str) -> list[list[str]]:
    """Commands of a block; of ``a && b`` each."""
    lines = code.replace("\\\n", " ").splitlines()
    return [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]


RUN = [
    (name, page)
    for name, page in EVERY
    if any(one.kind in ("sh", "python") and not one.reason for one in blocks(page))
]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of, small."""
    folder = tmp_path_factory.mktemp("material")
    shutil.copy(demo_photo(), folder / "photo.jpg")
    for name in ("my-photos", "photos"):
        (folder / name).mkdir()
        shutil.copy(demo_photo(), folder / name / "one.jpg")
    drawn.write_photos(folder / "my-data", 8)
    drawn.write_clip(folder / "clip.mp4", seconds=1.0, fps=8)
    for i in range(10):
        part, action = ("train", "train", "train", "test")[i // 2 % 4], drawn.ACTIONS[i % 2]
        (folder / "clips" / part / action).mkdir(parents=True, exist_ok=True)
        drawn.write_clip(folder / f"clips/{part}/{action}/{i}.mp4", (action,), 1.0, i, 8)
    drawn.write_sequences(folder / "my-sequences.npz", 6, frames=24)
    drawn.write_coco(folder / "annotated", folder / "annotated.json")
    (folder / "boxes.json").write_text(json.dumps({"annotated/00.jpg": [[60, 40, 300, 440]]}))
    (folder / "penn" / "labels").mkdir(parents=True)
    for i in range(16):
        write_penn(folder / f"penn/labels/{i:04d}.mat", ("squat", "bowl")[i % 2], int(i < 12), 8)
    (folder / "ntu").mkdir()
    for i in range(6):
        write_ntu(folder / f"ntu/S001C001P{1 + i // 2:03d}R001A{1 + i % 2:03d}.skeleton")
    make_pose(folder / "fastpose.onnx", scores=False, family="alphapose", head="heatmap")
    make_pose(folder / "my-network.onnx")
    return folder


def prepare(name: str, material: Path, folder: Path) -> None:
    """What a page has beside, from the page before it or from another program."""
    shutil.copytree(material, folder, dirs_exist_ok=True)
    if name.startswith("docs/how-to/"):
        for photo in folder.glob("my-data/*/0[3-9].jpg"):
            photo.unlink()
    if name == "docs/how-to/onnx.md":
        (folder / "runs" / "first").mkdir(parents=True)
        shutil.copy(weights.get("action", "keypoint-fusion").path, folder / "runs/first/model.onnx")
    elif name.startswith("docs/how-to/"):
        for run in ("first", "second"):
            (folder / "runs" / run).mkdir(parents=True)
            about = {"name": run, "crop_margin": 1.3, "unknown_threshold": 0.3}
            make_action(folder / "runs" / run / "model.onnx", drawn.ACTIONS, **about)
    elif name == "docs/alphapose.md":
        keyact(["predict", "photos", "--save-alphapose", "alphapose-results.json"])


@pytest.fixture
def reader(
    request: pytest.FixtureRequest,
    material: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    """Somebody who reads a page in a folder and types what it says."""
    name, page = request.param
    own = "cache prune" in page.read_text("utf-8")  # what others have found stays
    cache = tmp_path_factory.mktemp("cache") if own else tmp_path_factory.getbasetemp() / "people"
    monkeypatch.setenv("KEYACT_CACHE", str(cache))
    monkeypatch.setenv("KEYACT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("KEYACT_TOKEN", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(output, "DPI", 40)  # pictures take most of an evaluation's time
    monkeypatch.chdir(tmp_path)
    prepare(name, material, tmp_path)
    with ExitStack() as stack:
        yield Reader(page, monkeypatch, stack)


class Reader:
    def __init__(self, page: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self.page = page
        self._monkeypatch = monkeypatch
        self._stack = stack
        self._address = ADDRESS
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def read(self) -> None:
        for block in blocks(self.page):
            if block.reason is None and block.kind == "python":
                self._python(block.code)
            elif block.reason is None and block.kind == "sh":
                for line in block.code.replace("\\\n", " ").splitlines():
                    self._line(line)

    def _python(self, code: str) -> None:
        text = code.replace(ADDRESS, self._address)
        with redirect_stdout(StringIO()):
            exec(compile(text, self.page.name, "exec"), self._names)

    def _line(self, line: str) -> None:
        for words in command_lines(line):
            match words:
                case []:
                    pass
                case ["keyact", "serve", *options]:
                    self._serve(options)
                case ["keyact", *arguments]:
                    keyact(arguments)
                case ["curl", *_]:
                    done = self._shell(line.replace("curl ", "curl --fail ", 1))
                    check_written(["-o"], words)
                    assert "-o" in words or json.loads(done.splitlines()[0])
                    if "output=lines" in line:
                        *frames, last = done.splitlines()
                        assert [FrameResult.from_json(one) for one in frames]
                        assert VideoTimeline.from_json(last).seconds > 0
                case ["export", setting, *_]:
                    name = setting.partition("=")[0]
                    self._monkeypatch.setenv(name, self._shell(f'{line}; printf %s "${name}"'))
                case ["python", "-m", "pip", "install", *_] if "&&" in line:
                    pass  # tests/test_wheel.py installs
                case _:
                    pytest.fail(f"{self.page}: nothing here runs {line!r}")

    def _serve(self, options: list[str]) -> None:
        """The command itself, with a server that listens on a free port and in this process."""
        pytest.importorskip("fastapi", reason="needs the extra: pip install 'keyact[serve]'")
        from serve_case import running

        import keyact.serve.run

        def run(settings: Any, started: Any) -> None:
            given = settings.model_dump(exclude={"port"}, exclude_unset=True)
            given |= {"log": "off", "timeout": 300}
            address, _ = self._stack.enter_context(running(**given))
            self._address = address.removeprefix("http://").replace("0.0.0.0", "127.0.0.1")
            started(address)

        self._monkeypatch.setattr(keyact.serve.run, "serve", run)
        keyact_run(["serve", *options])

    def _shell(self, line: str) -> str:
        if line.startswith("curl") and shutil.which("curl") is None:
            pytest.skip("there is no curl")
        done = subprocess.run(
            ["sh", "-c", line.replace(ADDRESS, self._address)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout


def smaller(arguments: list[str]) -> list[str]:
    """What a page leaves out because its readers want it whole: networks and samples are few."""
    if arguments[0] in ("evaluate", "compare"):
        return ["--resamples", "20", *(() if "--limit" in arguments else ("--limit", "6"))]
    if arguments[0] == "train" and set(arguments) & set(model_names("sequence")):
        settings = ("sequence.samples=32", "sequence.refit=false", "tensorboard=false", "jit=false",
                    "options.width=16", "options.depth=1")  # fmt: skip
        return ["--epochs", "1", *(word for one in settings for word in ("--set", one))]
    return []


def keyact_run(arguments: list[str]) -> None:
    arguments = [*arguments, *smaller(arguments)]
    done = CliRunner().invoke(app, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, f"keyact {shlex.join(arguments)}\n{done.output}"


def keyact(arguments: list[str]) -> None:
    keyact_run(arguments)
    check_written(WRITES, arguments)
    for option, value in pairwise(arguments):
        if option == "--json" and value.endswith(".jsonl"):
            rows = [FrameResult.from_json(row) for row in Path(value).read_text().splitlines()]
            assert any(row.people for row in rows), value


def check_written(options: tuple[str, ...] | list[str], words: list[str]) -> None:
    for option, value in pairwise(words):
        if option in options and value != "-" and not value.startswith("-"):
            assert Path(value).exists(), f"{shlex.join(words)}: wrote no {value}"


@pytest.mark.slow
@pytest.mark.parametrize("reader", RUN, ids=[name for name, _ in RUN], indirect=True)
def test_the_blocks_run(reader: Reader) -> None:
    if "keyact train" in reader.page.read_text("utf-8"):
        pytest.importorskip("keras", reason="needs the extra: pip install 'keyact[train]'")
    reader.read()


@pytest.mark.parametrize(("name", "page"), EVERY, ids=NAMES)
def test_blocks_are_of_known_kinds_and_left_out_for_known_reasons(name: str, page: Path) -> None:
    text = page.read_text("utf-8")
    found = blocks(page)
    assert len(found) * 2 == len(re.findall("^```", text, re.MULTILINE)), "a block is not closed"
    assert len([b for b in found if b.reason is not None]) == text.count("\n<!-- not run"), (
        "a mark is not right above a block"
    )
    for block in found:
        assert block.kind in ("sh", "python", "json", "text"), block
        assert block.reason is None or block.reason in REASONS, block.reason
        if block.kind == "json":
            json.loads(block.code)


# ---- what is named exists


def commands() -> dict[tuple[str, ...], Any]:
    """Words after ``keyact`` -> command; groups that do something alone, too."""
    context = typer.Context(root := typer.main.get_command(app))
    found: dict[tuple[str, ...], Any] = {}

    def walk(path: tuple[str, ...], command: Any) -> None:
        if not hasattr(command, "list_commands"):
            found[path] = command
            return
        if path and command.invoke_without_command:
            found[path] = command
        for name in command.list_commands(context):
            walk((*path, name), command.get_command(context, name))

    walk((), root)
    return found


COMMANDS = commands()
OPTIONS = {
    path: {"-h", "--help"}.union(*((*p.opts, *p.secondary_opts) for p in command.params))
    for path, command in COMMANDS.items()
}
GROUPS = {path[:1] for path in COMMANDS if len(path) == 2}
OTHERS_TOO = ("docs/migration.md", "docs/alphapose.md")  # name other programs' options


def mentioned(page: Path) -> list[list[str]]:
    """Words after ``keyact`` wherever a page shows a command, in blocks and in the text."""
    text = page.read_text("utf-8")
    shown = [words for b in blocks(page) if b.kind == "sh" for words in command_lines(b.code)]
    spans = re.findall(r"`(keyact [a-z][^`\n]*)`", BLOCK.sub("", text))
    shown += [span.split() for span in spans]
    return [words[1:] for words in shown if words and words[0] == "keyact"]


def path_of(words: list[str]) -> tuple[str, ...]:
    longest = next((n for n in (2, 1) if tuple(words[:n]) in COMMANDS), 0)
    return tuple(words[:longest])


@pytest.mark.parametrize(("name", "page"), EVERY, ids=NAMES)
def test_commands_and_options_that_a_page_names_exist(name: str, page: Path) -> None:
    for words in mentioned(page):
        path = path_of(words)
        if not path:
            assert tuple(words[:1]) in GROUPS or words[0].startswith("-"), f"keyact {words}"
            continue
        for word in words[len(path) :]:
            option = word.partition("=")[0]
            if re.match(r"--?[a-z]", option):
                assert option in OPTIONS[path], f"keyact {' '.join(path)} has no {option}"
    if name not in OTHERS_TOO:
        known = set().union(*OPTIONS.values()) | {"--version", "--help"}
        text = BLOCK.sub("", page.read_text("utf-8"))
        for option in re.findall(r"`(--[a-z][a-z-]*)[ =`/]", text):
            assert option in known | OTHER_PROGRAMS, f"no command has {option}"


OTHER_PROGRAMS = {"--init"}  # of the scripts under training/


def test_every_command_is_explained() -> None:
    shown = {path_of(words) for page in PAGES for words in mentioned(page)}
    assert sorted(COMMANDS.keys() - shown) == []


# ---- the site


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra: pip install 'keyact[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for path in COMMANDS:
        page = tmp_path / "reference" / "cli" / path[0] / "index.html"
        assert f"keyact {' '.join(path)}" in page.read_text("utf-8")
    text = (tmp_path / "reference" / "keyact" / "index.html").read_text("utf-8")
    assert 'id="keyact.Recognizer' in text and "min_confidence" in text
    cards = [entry.card.stem for entry in weights.entries() if entry.card is not None]
    assert cards
    assert all((tmp_path / "models" / card / "index.html").is_file() for card in cards)


# ---- what other programs read from the README

README = (REPOSITORY / "README.md").read_text("utf-8")


def block(mark: str) -> str:
    """The code between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    pattern = rf"<!-- {mark} -->\n```\w+\n(.*?)```\n<!-- /{mark} -->"
    (code,) = re.findall(pattern, README, re.DOTALL)
    return str(code)


def test_one_line_installs_and_recognises() -> None:
    (line,) = block("main-command").splitlines()
    install, recognise = line.split(" && ")
    assert install == "python -m pip install ."
    assert recognise.startswith("keyact predict ")


def test_ci_reads_the_test_command() -> None:
    (line,) = block("test-command").splitlines()
    assert line.split(" && ")[-1].startswith("pytest")
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    (extract,) = re.findall(r"^test_command=\$\((.*)\)$", script, re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", extract], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == block("test-command")


def test_the_python_example_is_short() -> None:
    assert len([line for line in block("python-example").splitlines() if line.strip()]) <= 5


def test_the_figures_are_those_of_the_result_files() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/readme.py", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (REPOSITORY / document).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target
