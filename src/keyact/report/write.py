"""Reports as files: one HTML or PDF file, or Markdown with a folder of pictures beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from keyact.backends import optional_import
from keyact.errors import KeyactError
from keyact.replacing import replacing
from keyact.report.document import SCHEME, Report
from keyact.report.page import to_html

PANGO = (
    "PDF files are made by WeasyPrint, which needs the system's Pango (Debian: apt install "
    "libpango-1.0-0 libpangoft2-1.0-0; macOS: brew install pango); HTML can be printed instead"
)


def write_report(report: Report, target: str | Path) -> Path:
    """Write a report in the format that the suffix says.

    Raises
    ------
    KeyactError : no such format, a package is missing, or the file cannot be written.
    """
    path = Path(target)
    writer(path)(report, path)
    return path


def writer(path: Path) -> Callable[[Report, Path], None]:
    """What writes a file of that name.

    Raises
    ------
    KeyactError : the suffix is of no format, or the format's package is missing.
    """
    found = WRITERS.get(path.suffix.lower())
    if found is None:
        raise KeyactError(f"{path}: a report is one of {', '.join(WRITERS)}, by its suffix")
    if found is write_pdf:
        _weasyprint()
    return found


def write_html(report: Report, path: Path) -> None:
    page = to_html(report)
    with replacing(path) as part:
        part.write_text(page, "utf-8", errors="replace")


def write_markdown(report: Report, path: Path) -> None:
    """The text, and its pictures in a folder ``NAME-pictures`` beside it."""
    to_html(report, lambda picture: picture.file)  # refuses pictures that are not the report's
    folder = pictures_of(path)
    for file, picture in report.pictures.items():
        with replacing(folder / file) as part:
            part.write_bytes(picture.data)
    with replacing(path) as part:
        part.write_text(to_markdown(report, path), "utf-8", errors="replace")


def to_markdown(report: Report, path: Path) -> str:
    """The text with the addresses that its pictures have beside ``path``."""
    return report.markdown.replace(f"]({SCHEME}", f"]({pictures_of(path).name}/")


def pictures_of(path: Path) -> Path:
    """Where the pictures of a Markdown report lie."""
    return path.with_name(f"{path.stem}-pictures")


def write_pdf(report: Report, path: Path) -> None:
    weasyprint = _weasyprint()
    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    page = weasyprint.HTML(string=to_html(report), url_fetcher=fetcher)
    with replacing(path) as part:
        page.write_pdf(part)


def _weasyprint() -> ModuleType:
    import logging

    from PIL import ImageFile

    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    # It lets Pillow read damaged pictures, which would go for the whole process.
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        return optional_import("weasyprint", "report")
    except KeyactError as error:
        if "not installed" in str(error):
            raise
        raise KeyactError(f"{PANGO} ({error})") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = strict


WRITERS: Mapping[str, Callable[[Report, Path], None]] = {
    ".html": write_html,
    ".htm": write_html,
    ".md": write_markdown,
    ".pdf": write_pdf,
}
"""By suffix."""
