"""What a picture is; sheets of photos that lie beside results."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keyact.errors import InputError
from keyact.report.sources import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SHEET_BYTES = 32 * 2**20
MAX_SHEET_PIXELS = 40_000_000
_SHEET_SIDE = 1600  # pixels that a sheet of photos is scaled down to
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "keyact",
    "svg.fonttype": "path",
    "figure.max_open_warning": 0,
}
COLOURS = ("#2f6db5", "#e07b28", "#4b9b5f", "#9467bd", "#c0392b", "#17a2b8", "#8c6d31", "#d667a6",
            "#5b6770", "#22262b")  # fmt: skip
MARKERS = "osD^vP*XhD"


@dataclass(frozen=True, eq=False)
class Picture:
    """Attributes: ``name`` of the file without its suffix, ``caption``, ``form`` (``"svg"``, or
    ``"png"`` for what has cells or photos), and ``draw``, which makes it when it is wanted."""

    name: str
    caption: str
    draw: Callable[[], Figure | bytes]
    form: Literal["svg", "png", "jpeg"] = "svg"

    @property
    def file(self) -> str:
        return f"{self.name}.{self.form}"

    @property
    def mime(self) -> str:
        return "image/svg+xml" if self.form == "svg" else f"image/{self.form}"

    @cached_property
    def data(self) -> bytes:
        """The file. The same figures give the same bytes with the same Matplotlib."""
        import matplotlib

        drawn = self.draw()
        if isinstance(drawn, bytes):
            return drawn
        target = io.BytesIO()
        metadata = {"Date": None} if self.form == "svg" else {"Software": None}
        with matplotlib.rc_context(_SETTINGS):
            drawn.savefig(
                target, format=self.form, dpi=110, bbox_inches="tight", facecolor="white",
                metadata=metadata,
            )  # fmt: skip
        return target.getvalue()


def named(result: Result, what: str) -> str:
    """A file name that tells pictures of several results apart."""
    stem = result.name.rsplit(".", 1)[0] if result.kind != "run" else result.name
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem).strip("-")[-60:]
    return what if plain.endswith(what) and "-" not in plain else f"{plain}-{what}"


def sheet(result: Result, file: str, caption: str) -> Picture | None:
    path = result.folder / file
    if not path.is_file() or not path.resolve().is_relative_to(result.folder.resolve()):
        return None
    return Picture(named(result, path.stem), caption, lambda: _smaller(path), "jpeg")


def _smaller(path: Path) -> bytes:
    """A PNG file decoded and written anew, so that nothing but its pixels is passed on."""
    from PIL import Image, UnidentifiedImageError

    from keyact.evaluate.output import read_capped

    raw = read_capped(path, MAX_SHEET_BYTES)
    try:
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as image:
            if image.width * image.height > MAX_SHEET_PIXELS:
                raise InputError(f"{path}: more than {MAX_SHEET_PIXELS:,} pixels")
            image.load()
            small = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{path}: not a PNG picture") from None
    small.thumbnail((_SHEET_SIDE, 3 * _SHEET_SIDE))
    target = io.BytesIO()
    small.save(target, "JPEG", quality=82, optimize=True)
    return target.getvalue()
