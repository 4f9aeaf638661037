"""The literature review and its BibTeX file say the same, and every work is cited."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "literature-review.md").read_text("utf-8")
REVIEW, _, LIST = TEXT.partition("\n## References\n")
BIB = (DOCS / "references.bib").read_text("utf-8")
KEY = r"[a-z]+\d{4}[a-z0-9]*"

VENUE = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}
IDENTIFIERS = {
    "doi": r"10\.\d{4,}/\S+",
    "eprint": r"\d{4}\.\d{4,5}",
    "url": r"https?://\S+",
}
READ = ("full", "page", "abstract", "cited")


def entries() -> list[tuple[str, str, dict[str, str]]]:
    """Kind, key and fields of each entry; whatever is not of the file's plain form fails."""
    body = "\n".join(line for line in BIB.splitlines() if not line.startswith("%")).strip()
    found = []
    for block in body.split("\n\n"):
        head, *lines, end = block.splitlines()
        opened = re.fullmatch(rf"@(\w+){{({KEY}),", head)
        fields = [re.fullmatch(r"  (\w+) = {(.+)},", line) for line in lines]
        assert opened and all(fields) and end == "}", block
        names = [field[1] for field in fields if field]
        assert len(set(names)) == len(names), block
        found.append((opened[1], opened[2], {field[1]: field[2] for field in fields if field}))
    return found


def test_entries_are_complete() -> None:
    for kind, key, fields in entries():
        missing = {"author", "title", "year", "annote", VENUE[kind]} - fields.keys()
        assert not missing, f"{key} has no {missing}"
        assert fields["year"] in key, f"{key} is of {fields['year']}"
        assert fields["annote"] in READ, f"{key} was read how?"
        assert re.fullmatch(r"{[^{}]+}", fields["title"]), f"{key}: a title in double braces"
        given = IDENTIFIERS.keys() & fields.keys()
        assert given, f"{key} has neither DOI nor arXiv number nor address"
        for name in given:
            assert re.fullmatch(IDENTIFIERS[name], fields[name]), f"{key}: {fields[name]}"
        assert ("eprint" in fields) == (fields.get("archiveprefix") == "arXiv"), key


def test_keys_and_works_are_sorted_and_unique() -> None:
    keys = [key for _, key, _ in entries()]
    assert keys == sorted(set(keys))
    titles = [fields["title"].casefold() for *_, fields in entries()]
    assert len(set(titles)) == len(titles)


def test_every_work_is_cited_and_every_citation_is_a_work() -> None:
    cited = set(re.findall(rf"\]\(#({KEY})\)", REVIEW))
    assert cited == {key for _, key, _ in entries()}


def test_links_within_the_review_lead_somewhere() -> None:
    anchors = set(re.findall(r'<a id="(.+?)">', TEXT))
    for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE):
        anchors.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    assert set(re.findall(r"\]\(#(.+?)\)", TEXT)) <= anchors


def test_reference_list_says_what_the_bibtex_says() -> None:
    lines = [line for line in LIST.splitlines() if line]
    found = entries()
    assert len(lines) == len(found)
    for line, (_, key, fields) in zip(lines, found, strict=True):
        assert line.startswith(f'- <a id="{key}"></a>')
        assert line.endswith(f" *{fields['annote']}*"), line
        assert fields["title"].strip("{}") in line.replace("\\", ""), line
        assert fields["year"] in line.rpartition("](")[0].split("</a>")[1], line
        assert any(fields.get(name, "no") in line for name in IDENTIFIERS), line
        surname = fields["author"].split(",")[0].split(" and ")[0].strip("{}")
        assert f"</a>{surname}" in line, line


def test_how_much_was_read_is_counted() -> None:
    read = [fields["annote"] for *_, fields in entries()]
    table = dict(re.findall(r"^\| \*(\w+)\* \|.*\| (\d+) \|$", REVIEW, re.MULTILINE))
    assert table == {word: str(read.count(word)) for word in READ}
