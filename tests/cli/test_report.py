"""``keyact report`` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from result_files import write_evaluation, write_run
from typer.testing import CliRunner

from keyact.cli import app

pytest.importorskip("jinja2")
pytest.importorskip("onnx")

TEXT = "# Mine\n\nRight on {{ figure('mine/evaluation', 'metrics', 'top1', 'value') | percent }}.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_evaluation(tmp_path / "mine")
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, " ".join(done.output.split())


def test_an_evaluation_and_a_run_as_a_page(folder: Path) -> None:
    write_run(folder / "first")
    code, said = run(folder / "mine", folder / "first", "-o", folder / "out" / "report.html")
    assert (code, said) == (0, f"Wrote {folder / 'out' / 'report.html'}")
    page = (folder / "out" / "report.html").read_text("utf-8")
    assert "<title>Report on mine, first</title>" in page
    assert page.count("data:image/svg+xml;base64,") >= 4 and "seed: 7" in page
    assert 'src="http' not in page


def test_a_text_of_ones_own_in_two_formats(folder: Path) -> None:
    (folder / "text.md.j2").write_text(TEXT, "utf-8")
    html, markdown = folder / "r.html", folder / "r.md"
    code, said = run(folder / "mine", "--text", folder / "text.md.j2", "-o", html, "-o", markdown)
    assert code == 0, said
    assert markdown.read_text("utf-8") == "# Mine\n\nRight on 90.0\u00a0%.\n"
    assert "<title>Mine</title>" in html.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT + "That is 90 %.\n", "numbers that were typed: 90 (line 4)"),
        (TEXT.replace("top1", "top11"), "line 3: mine/evaluation.json: has no metrics > top11"),
        (TEXT.replace("mine/", "my/"), "did you mean 'mine/evaluation.json'?"),
    ],
)
def test_a_text_with_a_figure_of_no_file(folder: Path, text: str, said: str) -> None:
    (folder / "text.md.j2").write_text(text, "utf-8")
    out = folder / "r.html"
    code, output = run(folder / "mine", "--text", folder / "text.md.j2", "-o", out)
    assert code == 1 and said in output and not out.exists()


@pytest.mark.parametrize(
    ("source", "out", "code", "said"),
    [
        ("none", "r.html", 1, "no such file or folder"),
        ("mine", "r.docx", 1, "a report is one of .html, .htm, .md, .pdf, by its suffix"),
    ],
)
def test_what_cannot_be_done(folder: Path, source: str, out: str, code: int, said: str) -> None:
    found, output = run(folder / source, "-o", folder / out)
    assert found == code and said in output


def test_an_output_is_asked_for(folder: Path) -> None:
    code, output = run(folder / "mine")
    assert code == 2 and "--out" in output
