"""The report in docs/report is what the command makes of the committed results."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from keyact.report import Bibliography, Report, Results, compose
from keyact.report.page import to_html
from keyact.report.write import to_markdown

pytest.importorskip("jinja2")
pytest.importorskip("onnx")
pytest.importorskip("bibtexparser")

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "docs" / "report"
AGAIN = (
    "python -m keyact report results --text docs/report/text.md.j2 --references "
    "docs/references.bib --no-photos -o docs/report/report.md -o docs/report/report.html"
)


@pytest.fixture(scope="module")
def works() -> Bibliography:
    return Bibliography.read(REPOSITORY / "docs" / "references.bib")


@pytest.fixture(scope="module")
def made(works: Bibliography) -> Report:
    text, results = FOLDER / "text.md.j2", Results.read([REPOSITORY / "results"])
    return compose(results, text=text, works=works, photos=False)


def test_the_text_is_that_of_the_results(made: Report) -> None:
    target = FOLDER / "report.md"
    assert to_markdown(made, target) == target.read_text("utf-8"), f"out of date: {AGAIN}"


def test_commands_are_those_of_the_contributors_page(made: Report) -> None:
    page = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    known = " ".join(re.sub(r"\\\n|#.*", " ", page).split())
    told = dict(re.findall(r"^\| (\S+) \| [^|]+ \| `([^`]+)`", made.markdown, re.MULTILINE))
    files = ("agreement.csv", "backends.csv", "keypoints.csv", "pipeline.csv", "strangers.csv",
             "robustness/robustness.json", "yoga8.csv", r"sports18\_check.json")  # fmt: skip
    for file in files:
        for command in told[file].split(" && "):
            assert command in known, file
    written = re.findall(r"--csv (\S+)", told["agreement.csv"] + told["backends.csv"])
    assert written == ["results/agreement.csv", "results/backends.csv"]


def test_the_page_is_that_of_the_results(made: Report) -> None:
    page = (FOLDER / "report.html").read_text("utf-8")
    assert len(page) < 2 * 2**20
    # Pictures may differ by Matplotlib's version, all else may not.
    without = re.sub(r'src="data:[^"]*"', 'src="data:,"', page)
    assert without == to_html(made, lambda picture: "data:,"), f"out of date: {AGAIN}"


def test_the_pictures_are_those_of_the_report(made: Report) -> None:
    files = {path.name for path in (FOLDER / "report-pictures").iterdir()}
    assert made.pictures.keys() <= files, f"out of date: {AGAIN}"
    assert files <= made.pictures.keys(), "pictures of an earlier report: delete them"


def test_published_figures_are_of_works_that_are_listed(works: Bibliography) -> None:
    review = (REPOSITORY / "docs" / "literature-review.md").read_text("utf-8")
    with (REPOSITORY / "results" / "published.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 10
    for row in rows:
        assert row["source"] in works and f"(#{row['source']})" in review, row
        assert all(row.values()), row
        assert row["value"].removesuffix(".0") in review, row  # read there, not remembered
