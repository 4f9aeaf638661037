"""Reports of results: as HTML in one file, as PDF, as Markdown; every figure from a result file.

    results = Results.read(["results"])
    write_report(compose(results), "report.html")

A text of one's own is a Jinja file in Markdown; `keyact.report.document` says what it may call.
"""

from __future__ import annotations

from keyact.report.citations import Bibliography
from keyact.report.document import Report, compose
from keyact.report.results import MissingFigureError, Results, Sample
from keyact.report.typed import typed_numbers
from keyact.report.write import write_report

__all__ = [
    "Bibliography",
    "MissingFigureError",
    "Report",
    "Results",
    "Sample",
    "compose",
    "typed_numbers",
    "write_report",
]
