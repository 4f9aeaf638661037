"""Whole reports of small results: complete, closed in themselves, honest about what lacks."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from result_files import write_evaluation, write_json, write_results, write_table

from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.report import Bibliography, MissingFigureError, Report, Results, compose
from keyact.report.document import SCHEME
from keyact.report.page import to_html
from keyact.report.write import write_markdown, write_report

pytest.importorskip("jinja2")
pytest.importorskip("onnx")
pytest.importorskip("bibtexparser")

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = REPOSITORY / "docs" / "report" / "text.md.j2"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order; collects what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(str(found["id"]))
        if "src" in found:
            self.sources.append(str(found["src"]))
        if "href" in found:
            self.links.append(str(found["href"]))
        assert not {name for name in found if name.startswith("on")}

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def works() -> Bibliography:
    return Bibliography.read(REPOSITORY / "docs" / "references.bib")


@pytest.fixture(scope="module")
def default(folder: Path, works: Bibliography) -> Report:
    return compose(Results.read([folder]), works=works, title="All of it")


def text_file(folder: Path, text: str) -> Path:
    path = folder / "text.md.j2"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("text", [None, PROJECT], ids=["default", "project"])
def test_a_page_of_everything(folder: Path, works: Bibliography, text: Path | None) -> None:
    made = compose(Results.read([folder]), text=text, works=works)
    page = Page(to_html(made, lambda picture: f"data:{picture.mime},"))
    assert len(set(page.ids)) == len(page.ids)
    assert "script" not in page.tags and "link" not in page.tags
    assert all(source.startswith("data:") for source in page.sources)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.sources) == len(made.pictures) >= 14
    assert "Not measured" not in page.text
    for heading in ("Data", "Method", "Set-up", "Results", "Robustness", "Efficiency",
                    "Threats to validity", "Conclusions", "Future work"):  # fmt: skip
        assert heading in page.text
    for figure in ("90.2 ± 0.2", "+44.0", "97.9", "64.4", "6,454,910", "0.69"):
        assert figure in page.text.replace("\u00a0", " ")


def changed(folder: Path, name: str, column: str, figures: dict[str, float]) -> None:
    """Other figures in the rows of a setting, a backend or a set."""
    path = folder / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    key = {"keypoints": "value", "backends": "pose", "strangers": "set"}[name]
    for row in rows:
        row[column] = str(figures.get(row[key], row[column]))
    write_table(path, rows)


@pytest.mark.parametrize(
    ("name", "column", "figures", "said"),
    [
        ("keypoints", "ms_per_person", {"dark": 33.3}, "dark 0.700 in 33.3 ms"),
        ("keypoints", "teacher_oks", {"224 x 224": 0.9},
         "finds the square crop better than the upright one of about as many pixels (0.900 and "
         "0.700); the human labels find it worse than that with true boxes (0.690 and 0.710) and "
         "worse than that with own ones (0.680 and 0.700). So the one does not confirm"),
        ("keypoints", "teacher_oks", {"224 x 224": 0.5},
         "finds the square crop worse than the upright one of about as many pixels (0.500 and "
         "0.700); the human labels find it worse than that with true boxes (0.690 and 0.710) and "
         "worse than that with own ones (0.680 and 0.700). They agree."),
        ("keypoints", "ms_per_photo_detector", {}, "persondet-m 0.680 in 7.5 ms a photo"),
        ("backends", "oks", {"fastpose-m": 0.82}, "10.0 ms on 2 threads): the OKS is met"),
        ("backends", "ms_per_person", {"fastpose-m": 8.0}, "8.0 ms on 2 threads): the time is met"),
        ("strangers", "named", {"exercises": 0.3}, "What the gate knows of exercises does not"),
        ("strangers", "named", {"exercises": 0.7}, "a higher probability than one of yoga (area"),
    ],
)  # fmt: skip
def test_sentences_follow_the_figures(
    tmp_path: Path, works: Bibliography, name: str, column: str, figures: dict, said: str
) -> None:
    folder = write_results(tmp_path)
    changed(folder, name, column, figures)
    made = compose(Results.read([folder]), text=PROJECT, works=works)
    words = " ".join(made.markdown.replace("**", "").split())
    assert said in words
    if name == "strangers":
        assert ("does not carry over" in words) == (figures["exercises"] < 0.4)


def test_pictures_are_drawn_into_the_page(default: Report) -> None:
    drawn = {
        "network-keypoint-fusion.svg",
        "temporal-actions-actions.png",
        "temporal-noise-noise.svg",
    }
    assert drawn <= default.pictures.keys()
    for file in drawn:
        data = default.pictures[file].data
        assert data.startswith(b"\x89PNG" if file.endswith("png") else b"<?xml")
        assert b"http" not in re.sub(rb'(xmlns[:\w]*|xlink:\w+|DOCTYPE[^>]*|rdf:resource)="[^"]*"',
                                     b"", data) or not file.endswith("png")  # fmt: skip
    page = to_html(Report("t", f"# t\n\n![a]({SCHEME}temporal-actions-actions.png)\n",
                          default.pictures))  # fmt: skip
    assert Page(page).sources[0].startswith("data:image/png;base64,iVBOR")


def test_markdown_with_its_pictures(default: Report, tmp_path: Path) -> None:
    few = {name: default.pictures[name] for name in ("pipeline.svg",)}
    made = Report("t", f"# t\n\n![a]({SCHEME}pipeline.svg)\n\n**Figure 1.** a.\n", few)
    write_markdown(made, tmp_path / "out.md")
    assert "![a](out-pictures/pipeline.svg)" in (tmp_path / "out.md").read_text("utf-8")
    assert (tmp_path / "out-pictures" / "pipeline.svg").stat().st_size > 1000
    assert not list(tmp_path.glob("**/.*"))


def test_tables_and_figures_are_numbered_and_sources_named(default: Report) -> None:
    for kind in ("Table", "Figure"):
        numbers = [int(n) for n in re.findall(rf"^\*\*{kind} (\d+)\.\*\*", default.markdown, re.M)]
        assert numbers == list(range(1, len(numbers) + 1)) != []
    assert "python benchmarks/temporal.py PENN/labels --only models" in default.markdown
    assert "seed 0, 1, 2" in default.markdown


def test_what_was_not_measured_says_so(tmp_path: Path, works: Bibliography) -> None:
    write_evaluation(tmp_path / "mine")
    made = compose(Results.read([tmp_path / "mine"]), works=works)
    for command in ("keyact robustness", "keyact compare", "keyact data check"):
        assert re.search(rf"Not measured: .*Command: `{command}", made.markdown)
    assert "Not measured: evaluation" not in made.markdown
    assert "### Time" not in made.markdown


def test_a_missing_figure_is_an_error_with_its_line(folder: Path, tmp_path: Path) -> None:
    text = text_file(tmp_path, "# T\n\nok\n\n{{ figure('temporal/models', 'ms', model='x') }}")
    with pytest.raises(MissingFigureError, match=r"line 5: temporal/models\.csv: no ms where"):
        compose(Results.read([folder]), text=text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ figure( }}", "line 1"),
        ("{{ unheard_of }}", "unheard_of"),
        ("it is right on 93.4 %", r"numbers that were typed: 93\.4 \(line 1\)"),
        ("{{ table('tabel') }}", "unknown table"),
        ("{{ table('models', of='sports18') }}", "is no sequence networks"),
        ("{{ figure('sports18', 'test') | percent }}", "is no number"),
        ("{{ ().__class__.__mro__ }}", "__class__"),
        ("{{ picture('models') }}{{ picture('models') }}", "is shown twice"),
        ("{% include '/etc/passwd' %}", "loader"),
        ("{{ [1, 0] | sum(attribute='x') }}", "line 1"),
    ],
)
def test_a_text_that_cannot_be_filled(folder: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(KeyactError, match=said):
        compose(Results.read([folder]), text=text_file(tmp_path, text))


def test_typed_numbers_may_be_allowed(folder: Path, tmp_path: Path) -> None:
    text = text_file(tmp_path, "it is right on 93.4 %")
    made = compose(Results.read([folder]), text=text, typed_numbers=True)
    assert "93.4" in made.markdown


@pytest.mark.parametrize("text", ["![x](http://example.org/a.png)", "![x](../secret.png)"])
def test_pictures_of_others_are_refused(tmp_path: Path, folder: Path, text: str) -> None:
    made = compose(Results.read([folder]), text=text_file(tmp_path, text))
    for name in ("out.html", "out.md"):
        with pytest.raises(InputError, match="no picture of this report"):
            write_report(made, tmp_path / name)
    assert not list(tmp_path.glob("out*"))


def test_labels_of_strangers_stay_texts(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>|![p](http://e.org/p.png) [l](http://e.org) `{{ 7*7 }}`"
    write_evaluation(tmp_path / "mine", label=evil)
    made = compose(Results.read([tmp_path / "mine"]))
    page = Page(to_html(made, lambda picture: "data:,"))
    assert "<img src=x onerror=alert(1)>" in page.text and "{{ 7*7 }}" in page.text
    assert not any("e.org" in link for link in (*page.sources, *page.links))


def test_citations(folder: Path, tmp_path: Path, works: Bibliography) -> None:
    text = text_file(tmp_path, "# T\n\nAfter [@fang2017rmpe].\n\n{{ references() }}\n")
    made = compose(Results.read([folder]), text=text, works=works)
    assert "([Fang et al. 2017](#ref-fang2017rmpe))" in made.markdown
    page = Page(to_html(made))
    assert "#ref-fang2017rmpe" in page.links and "ref-fang2017rmpe" in page.ids
    assert "https://doi.org/10.1109/ICCV.2017.256" in page.links
    assert "(fang2017rmpe)" in compose(Results.read([folder]), text=text).markdown
    text = text_file(tmp_path, "[@fang2017rmp]")
    with pytest.raises(KeyactError, match="did you mean 'fang2017rmpe'"):
        compose(Results.read([folder]), text=text, works=works)


def test_sheets_of_photos_are_shown_unless_unwanted(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_evaluation(folder)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "mistakes.png")
    results = Results.read([folder])
    made = compose(results)
    assert made.pictures["mine-evaluation-mistakes.jpeg"].data.startswith(b"\xff\xd8")
    assert not [name for name in compose(results, photos=False).pictures if "jpeg" in name]
    (folder / "mistakes.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="not a PNG picture"):
        _ = compose(results).pictures["mine-evaluation-mistakes.jpeg"].data


def test_a_file_that_breaks_its_columns_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "models.csv", [{
        "model": "tcn", "seed": 0, "parameters": "many", "macs": 1, "ms": 1, "val_top1": 1,
        "test_top1": 1}])  # fmt: skip
    with pytest.raises(InputError, match="'many' is no number"):
        compose(Results.read([tmp_path]))
    write_json(tmp_path / "other" / "evaluation.json", {
        "schema_version": "9", "metrics": {}, "confusion": [], "per_class": []})  # fmt: skip
    with pytest.raises(InputError, match=r"evaluation\.json"):
        compose(Results.read([tmp_path / "other"]))


def test_pdf(tmp_path: Path, default: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)  # which WeasyPrint changes
    try:
        pytest.importorskip("weasyprint")
    except OSError:
        pytest.skip("WeasyPrint does not find Pango here")
    pypdf = pytest.importorskip("pypdf")
    made = Report("Title", f"# Title\n\n## Part\n\n![a]({SCHEME}pipeline.svg)\n\nWords. "
                  + "\n\n| a | b |\n| :--- | ---: |\n" + "| x | 12.5 |\n" * 90,
                  {"pipeline.svg": default.pictures["pipeline.svg"]})  # fmt: skip
    write_report(made, tmp_path / "out.pdf")
    pages = pypdf.PdfReader(tmp_path / "out.pdf").pages
    assert len(pages) >= 2
    text = "".join(page.extract_text() for page in pages)
    assert "Words." in text and text.count("12.5") == 90 and "1 / " in text


def test_unknown_kinds_of_results(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'models'"):
        Results.read([folder]).of("model")
