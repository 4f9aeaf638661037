"""A report: a Jinja text whose every figure is looked up, made into one Markdown document.

What a text may call:

figure(FILE, KEY..., COLUMN=VALUE..., stat=...)   one figure; raises when no file holds it
sample(FILE, COLUMN, COLUMN=VALUE...)             mean and deviation of the seeds
values(FILE, COLUMN, COLUMN=VALUE...)             the different values of a column
has(FILE, KEY..., COLUMN=VALUE...)                whether there is one
measured(KIND), of(KIND)                          whether there are results of a kind; their names
table(NAME), picture(NAME)                        of every result of its kind, or of ``of=FILE``
diagram(NAME), networks()                         the method, from the code
sources(commands={FILE: COMMAND}), config(RUN), not_measured(KIND)
ranking(FILE, COLUMN, by=COLUMN, COLUMN=VALUE...) pairs of a value of ``by`` and its sample
differences(FILE, COLUMN, by=..., over=..., one=..., other=..., COLUMN=VALUE...)
verdict(A, B), margin(SHARE, COUNT)               see `keyact.report.comparing`
references()                                      the list of what ``[@key]`` cites

and ``title``, and ``bibliography``, which says whether works were given.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from keyact.backends import optional_import
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.report import comparing, diagrams, typed
from keyact.report.citations import Bibliography, link_citations, references
from keyact.report.kinds import KINDS
from keyact.report.numbers import FILTERS, Markdown, escape, shown
from keyact.report.pictures import PICTURES, Picture
from keyact.report.results import MissingFigureError, Results
from keyact.report.sources import Result
from keyact.report.tables import TABLES, Table

TEXT = Path(__file__).parent / "templates" / "report.md.j2"
"""What is written when no other text is given."""
MAX_TEXT_BYTES = 2**20
SCHEME = "picture:"
"""Before the name of a picture in `Report.markdown`."""

_REFERENCES = "\ue000references\ue000"  # replaced when it is known what was cited


@dataclass(frozen=True)
class Report:
    """Attributes: ``title``, ``markdown`` (pictures are ``picture:FILE``) and ``pictures``."""

    title: str
    markdown: str
    pictures: dict[str, Picture] = field(default_factory=dict)


def compose(
    results: Results,
    *,
    text: str | Path | None = None,
    works: Bibliography | None = None,
    title: str | None = None,
    photos: bool = True,
    typed_numbers: bool = False,
) -> Report:
    """Fill in a text.

    Parameters
    ----------
    results : where all figures come from.
    text : a Jinja file in Markdown; `TEXT` when not given.
    works : what its citations may name.
    title : for a text that asks for ``title``.
    photos : whether sheets of photos that lie beside the results are shown.
    typed_numbers : let numbers pass that were typed into the text.

    Raises
    ------
    MissingFigureError : the text asks for a figure that no file holds.
    InputError : it cannot be read, is no template, or has typed numbers.
    KeyactError : a package of the extra ``report`` is missing.
    """
    from keyact.evaluate.output import read_capped

    path = TEXT if text is None else Path(text)
    source = read_capped(path, MAX_TEXT_BYTES).decode("utf-8", "replace")
    jinja2 = optional_import("jinja2.sandbox", "report")
    errors = optional_import("jinja2", "report").exceptions
    writer = _Writer(results, photos)
    environment = jinja2.ImmutableSandboxedEnvironment(
        undefined=optional_import("jinja2", "report").StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # of HTML; all that is no Markdown is escaped by `shown`
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    environment.globals |= writer.calls() | {
        "title": title or "Report",
        "bibliography": works is not None,
    }
    try:
        if not typed_numbers:
            _refuse_typed(path, source)
        filled = environment.from_string(source).render()
    except errors.TemplateSyntaxError as error:
        raise InputError(f"{path}: line {error.lineno}: {error.message}") from None
    except KeyactError as error:
        line = _line(error)
        kind = type(error) if isinstance(error, InputError) else InputError
        raise kind(f"{path}: line {line}: {error}" if line else str(error)) from None
    except (errors.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(f"{path}: line {_line(error) or '?'}: {error}") from None
    cited, keys = link_citations(filled, works)
    listed = "" if works is None else references(keys, works)
    whole = re.sub(r"\n{3,}", "\n\n", cited.replace(_REFERENCES, listed)).strip() + "\n"
    heading = re.search(r"^# (.+)$", whole, re.MULTILINE)
    name = re.sub(r"\\(.)", r"\1", heading[1]) if heading else title or "Report"
    return Report(name, whole, writer.pictures)


def _refuse_typed(path: Path, source: str) -> None:
    found = typed.typed_numbers(source)
    if found:
        listed = ", ".join(f"{one.text} (line {one.line})" for one in found[:8])
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        raise InputError(
            f"{path}: numbers that were typed: {listed}{more}; look them up with figure(...), or "
            "allow them with --typed-numbers"
        )


def _line(error: BaseException) -> int | None:
    """The line of the text that an error comes from; Jinja puts it among the frames."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f[0] == "<template>"]
    return lines[-1] if lines else None


class _Writer:
    """What the calls of a text write, and the numbers of its tables and pictures."""

    def __init__(self, results: Results, photos: bool) -> None:
        self.results = results
        self.photos = photos
        self.pictures: dict[str, Picture] = {}
        self._tables = 0
        self._drawn = 0

    def calls(self) -> dict[str, Callable[..., Any]]:
        results = self.results
        return {
            "figure": results.figure,
            "sample": results.sample,
            "values": results.values,
            "has": results.has,
            "of": lambda kind: [one.name for one in results.of(kind)],
            "measured": lambda kind: bool(results.of(kind)),
            "not_measured": not_measured,
            "ranking": partial(comparing.ranking, results),
            "differences": partial(comparing.differences, results),
            "verdict": comparing.verdict,
            "margin": comparing.margin,
            "table": self.table,
            "picture": self.picture,
            "diagram": self.diagram,
            "networks": lambda: self._numbered(diagrams.networks()),
            "sources": lambda commands=None: self._numbered(_sources(results, commands or {})),
            "config": self.config,
            "references": lambda: Markdown(_REFERENCES),
        }

    def table(self, what: str, of: str | None = None, **options: Any) -> Markdown:
        if what not in TABLES:
            raise UnknownNameError("table", what, TABLES)
        kind, make = TABLES[what]
        found = self._of(kind, of)
        made = [(one, _made(one, partial(make, one, **options))) for one in found]
        written = [self._numbered(table, one) for one, table in made if table.rows]
        return Markdown("\n\n".join(written)) if made else not_measured(kind)

    def picture(self, what: str, of: str | None = None) -> Markdown:
        if what not in PICTURES:
            raise UnknownNameError("picture", what, PICTURES)
        kind, make = PICTURES[what]
        found = self._of(kind, of)
        made = [(one, _made(one, partial(make, one))) for one in found]
        drawn = [
            self._drawing(picture, one)
            for one, picture in made
            if picture and (self.photos or picture.form != "jpeg")
        ]
        return Markdown("\n\n".join(drawn)) if found else not_measured(kind)

    def diagram(self, what: str) -> Markdown:
        if what not in diagrams.DIAGRAMS:
            raise UnknownNameError("diagram", what, diagrams.DIAGRAMS)
        return self._drawing(diagrams.DIAGRAMS[what]())

    def config(self, run: str) -> Markdown:
        """A run's settings as they stand in its file."""
        result = self.results.get(run)
        if result.kind != "run":
            raise MissingFigureError(f"{run}: is no run's folder")
        lines = str(result.data["config"]).replace("\r", "").splitlines()
        return Markdown("\n".join(f"    {line}" for line in lines))

    def _of(self, kind: str, name: str | None) -> Sequence[Result]:
        if name is None:
            return self.results.of(kind)
        result = self.results.get(name)
        if result.kind != kind:
            raise MissingFigureError(f"{result.name}: is no {KINDS[kind].spoken}")
        return [result]

    def _numbered(self, table: Table, source: Result | None = None) -> Markdown:
        self._tables += 1
        caption = f"**Table {self._tables}.** {escape(table.caption)}.{_from(source)}"
        return Markdown(f"{caption}\n\n{table.markdown()}\n")

    def _drawing(self, picture: Picture, source: Result | None = None) -> Markdown:
        self._drawn += 1
        if picture.file in self.pictures:
            raise InputError(f"the picture {picture.name} is shown twice")
        self.pictures[picture.file] = picture
        caption = escape(picture.caption)
        image = f"![{caption}]({SCHEME}{picture.file})"
        return Markdown(f"{image}\n\n**Figure {self._drawn}.** {caption}.{_from(source)}\n")


def _from(source: Result | None) -> str:
    return "" if source is None else f" From {escape(source.name)}."


def not_measured(kind: str) -> Markdown:
    """Says so, and what to type."""
    if kind not in KINDS:
        raise UnknownNameError("kind of result", kind, KINDS)
    known = KINDS[kind]
    command = known.command_for()
    hint = f" Command: `{command}`" if command else ""
    return Markdown(f"*Not measured: {known.spoken}.*{hint}\n")


def _made(result: Result, make: Callable[[], Any]) -> Any:
    """What a file that is not what its columns promise costs: one line that names it."""
    try:
        return make()
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        spoken = KINDS[result.kind].spoken
        raise InputError(f"{result.path}: not as a file of {spoken} is ({error})") from None


def _sources(results: Results, commands: Mapping[str, str]) -> Table:
    """Every file that figures may come from: how it is made, with which seeds and settings.

    ``commands`` are those that made certain files, instead of what makes one of their kind.
    """
    rows = []
    for result in results:
        if not result.kind:
            continue
        known, settings = KINDS[result.kind], []
        if isinstance(result.data, list):
            for column in ("seed", "threads", "setting"):
                distinct = dict.fromkeys(row.get(column, "") for row in result.data)
                values = [value for value in distinct if value]
                if values:
                    settings.append(f"{column} {', '.join(values)}")
        command = " ".join(commands.get(result.name, known.command_for(result.name)).split())
        rows.append((result.name, known.spoken, Markdown(f"`{command}`" if command else ""),
                     "; ".join(settings), result.digest))  # fmt: skip
    head = ("file", "holds", "command", "seeds and settings", "SHA-256")
    return Table("Where the figures come from", head, rows, head[1:])
