"""Citations: ``[@key]`` in a text, and the list of what was cited, from a BibTeX file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from keyact.backends import optional_import
from keyact.errors import InputError, UnknownNameError
from keyact.evaluate.output import read_capped
from keyact.report.numbers import Markdown, escape

MAX_BYTES = 4 * 2**20
CITED = re.compile(r"\[@([A-Za-z][A-Za-z0-9:_-]{0,63})\]")
_VENUES = ("booktitle", "journal", "howpublished", "publisher")


class Bibliography:
    """Works by key; the order in which they are cited plays no part."""

    def __init__(self, works: dict[str, dict[str, str]]) -> None:
        self._works = works

    @classmethod
    def read(cls, path: str | Path) -> Bibliography:
        """A BibTeX file.

        Raises
        ------
        InputError : it cannot be read, is too large, or has an entry that is none.
        KeyactError : the package bibtexparser is missing.
        """
        raw = read_capped(Path(path), MAX_BYTES)
        parser = optional_import("bibtexparser", "report")
        library = parser.parse_string(raw.decode("utf-8", "replace"))
        if library.failed_blocks:
            line = library.failed_blocks[0].start_line + 1
            raise InputError(f"{path}: line {line} is no BibTeX entry")
        return cls(
            {
                entry.key: {f.key.lower(): _plain(str(f.value)) for f in entry.fields}
                for entry in library.entries
            }
        )

    def __contains__(self, key: str) -> bool:
        return key in self._works

    def short(self, key: str) -> str:
        """``Sandler et al. 2018``.

        Raises
        ------
        UnknownNameError : no such work.
        """
        work = self._work(key)
        names = _family_names(work.get("author", key))
        many = {1: names[0], 2: " and ".join(names[:2])}.get(len(names), f"{names[0]} et al.")
        return f"{many} {work.get('year', 'n.d.')}"

    def full(self, key: str) -> Markdown:
        """One line with a link to the work."""
        work = self._work(key)
        names = _family_names(work.get("author", key))
        many = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        venue = next((work[name] for name in _VENUES if name in work), "")
        place = ", ".join(filter(None, (venue, work.get("year"))))
        title = work.get("title", key)
        text = f"{many}: {title}{'' if title.endswith(('?', '!')) else '.'} {place}."
        if "doi" in work:
            link, name = f"https://doi.org/{work['doi']}", f"doi:{work['doi']}"
        elif "eprint" in work:
            link, name = f"https://arxiv.org/abs/{work['eprint']}", f"arXiv:{work['eprint']}"
        else:
            link, name = work.get("url", ""), "page"
        if re.fullmatch(r"https?://[^\s<>()\[\]\"'\\]+", link):
            return Markdown(f"{escape(text)} [{escape(name)}]({link})")
        return escape(text)

    def _work(self, key: str) -> dict[str, str]:
        if key not in self._works:
            raise UnknownNameError("work", key, self._works)
        return self._works[key]


def link_citations(text: str, works: Bibliography | None) -> tuple[str, list[str]]:
    """A text whose ``[@key]`` are links to the list of references, and the keys, sorted.

    Without a bibliography the key itself is shown.

    Raises
    ------
    UnknownNameError : a key that the bibliography lacks.
    """
    keys = sorted(set(CITED.findall(text)))

    def link(found: re.Match[str]) -> str:
        key = found[1]
        return (
            f"({escape(key)})" if works is None else f"([{escape(works.short(key))}](#ref-{key}))"
        )

    return CITED.sub(link, text), keys


def references(keys: Iterable[str], works: Bibliography) -> Markdown:
    """The list that the citations lead to."""
    return Markdown("\n".join(f'- <a id="ref-{key}"></a>{works.full(key)}' for key in keys))


def _family_names(authors: str) -> list[str]:
    people = [one.strip() for one in re.split(r"\s+and\s+", authors) if one.strip()]
    return [
        one.partition(",")[0] if "," in one else one if "ontributors" in one else one.split()[-1]
        for one in people
    ] or ["Anonymous"]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[{}]", "", text).split())
