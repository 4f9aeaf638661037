"""A contact sheet: some photos of each label, and what the check found, on one picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import Dataset, Sample
from keyact.data.check import NO_SPLIT, Report
from keyact.data.looks import read_picture
from keyact.errors import InputError
from keyact.replacing import replacing

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

PER_LABEL = 8
MAX_LABELS = 60
"""Labels with a row of their own; a line says how many more there are."""
MAX_FINDINGS = 12
"""Sets of copies, pairs that look alike and blank photos with a row of their own, of each."""

_CELL, _GAP, _LEFT, _LINE = 104, 6, 190, 15
_COLOURS = {"train": "#4477aa", "val": "#ddaa33", "test": "#bb5566", NO_SPLIT: "#999999"}
_INK, _FAINT, _PERSON = "#222222", "#777777", "#00cc66"

_Thumbnail = tuple["Image.Image", float]


class ContactSheet:
    """Collects thumbnails while a data set is checked, and draws them.

    Give `keep` to `keyact.data.check.check`; it remembers the photos that the sheet shows.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._rows = {label: _spread(samples) for label, samples in _by_label(dataset).items()}
        self._wanted = {sample.path for row in self._rows.values() for sample in row}
        self._thumbnails: dict[Path, _Thumbnail] = {}

    def keep(self, path: Path, image: NDArray[np.uint8]) -> None:
        """Keep a thumbnail, if the photo is one that the sheet shows."""
        if path in self._wanted:
            self._thumbnails[path] = _thumbnail(image)

    def save(self, target: Path, report: Report) -> None:
        """Write the sheet; the suffix tells the format, such as .png or .jpg.

        Raises
        ------
        InputError : the suffix is of no picture format.
        """
        form = picture_format(target)
        picture = self.draw(report)
        with replacing(target) as part:
            picture.save(part, format=form)

    def draw(self, report: Report) -> Image.Image:
        """The sheet as an RGB picture."""
        from PIL import Image, ImageDraw

        rows = list(self._rows.items())[:MAX_LABELS]
        findings = self._findings(report)
        left_out = len(self._rows) - len(rows)
        height = 2 * _LINE + 2 * _GAP + len(rows) * (_CELL + _GAP) + (_LINE + _GAP) * bool(left_out)
        height += sum(_LINE + _GAP + _CELL + _GAP for _ in findings)
        picture = Image.new("RGB", (_LEFT + PER_LABEL * (_CELL + _GAP) + _GAP, height), "white")
        draw = ImageDraw.Draw(picture)
        y = self._head(draw)
        for label, samples in rows:
            _label_text(draw, y, label, report.counts.get(label, {}))
            self._row(picture, draw, y, samples, report)
            y += _CELL + _GAP
        if left_out:
            draw.text((_GAP, y), f"... and {left_out} more labels", fill=_FAINT, font=_font())
            y += _LINE + _GAP
        for title, samples in findings:
            draw.text((_GAP, y), _fit(draw, title, picture.width), fill=_INK, font=_font())
            y += _LINE + _GAP
            self._row(picture, draw, y, samples[:PER_LABEL], report)
            y += _CELL + _GAP
        return picture

    def _head(self, draw: ImageDraw.ImageDraw) -> int:
        title = f"{self._dataset.name}: {len(self._dataset)} {self._dataset.kind}"
        draw.text((_GAP, _GAP), title, fill=_INK, font=_font(13))
        x: float = _LEFT
        there = {sample.split or NO_SPLIT for sample in self._dataset.samples}
        for split in (name for name in _COLOURS if name in there):
            draw.rectangle((x, _GAP + 2, x + 12, _GAP + 14), fill=_COLOURS[split])
            text = "no split" if split == NO_SPLIT else split
            draw.text((x + 17, _GAP + 2), text, fill=_INK, font=_font())
            x += 32 + draw.textlength(text, font=_font())
        return 2 * _LINE + _GAP

    def _row(
        self,
        picture: Image.Image,
        draw: ImageDraw.ImageDraw,
        y: int,
        samples: Sequence[Sample],
        report: Report,
    ) -> None:
        for place, sample in enumerate(samples):
            x = _LEFT + place * (_CELL + _GAP)
            colour = _COLOURS[sample.split or NO_SPLIT]
            draw.rectangle((x, y, x + _CELL - 1, y + _CELL - 1), outline=colour, width=3)
            shown = self._shown(sample.path)
            if shown is None:
                draw.text((x + 8, y + 8), "unreadable", fill=_COLOURS["test"], font=_font())
                continue
            small, zoom = shown
            left, top = x + (_CELL - small.width) // 2, y + (_CELL - small.height) // 2
            picture.paste(small, (left, top))
            people = report.people.get(sample.path)
            for box in people.boxes if people is not None else ():
                x1, y1, x2, y2 = (box * zoom + (left, top, left, top)).tolist()
                draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=_PERSON)

    def _shown(self, path: Path) -> _Thumbnail | None:
        if path not in self._thumbnails:
            try:
                self._thumbnails[path] = _thumbnail(read_picture(path, self._dataset.kind))
            except InputError:
                return None
        return self._thumbnails[path]

    def _findings(self, report: Report) -> list[tuple[str, list[Sample]]]:
        """Title and photos of each row below the labels."""
        first = {str(sample.path): sample for sample in reversed(self._dataset.samples)}
        rows = []
        for same in report.facts["exact_duplicates"][:MAX_FINDINGS]:
            rows.append(("copies", [first[told["path"]] for told in same]))
        near = report.facts["near_duplicates"] or []
        across = [pair for pair in near if len({told["split"] for told in pair["photos"]}) > 1]
        within = [pair for pair in near if pair not in across]
        for pair in [*across, *within][:MAX_FINDINGS]:
            rows.append(("look alike", [first[told["path"]] for told in pair["photos"]]))
        titled = []
        for what, samples in rows:
            places = "; ".join(f"{s.label}/{s.path.name} ({s.split or NO_SPLIT})" for s in samples)
            titled.append((f"{what}: {places}", samples))
        blank = [first[path] for path in report.facts["blank"]]
        if blank:
            titled.append((f"of one colour: {len(blank)}", blank))
        return titled


def picture_format(target: Path) -> str:
    """What a picture of this name is written as.

    Raises
    ------
    InputError : its suffix is of no picture format.
    """
    form = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if target.suffix.lower() not in form:
        raise InputError(f"{target}: a contact sheet ends in .png, .jpg or .webp")
    return form[target.suffix.lower()]


def _by_label(dataset: Dataset) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {label: [] for label in dataset.labels}
    unlabelled = defaultdict(list)
    for sample in dataset.samples:
        if sample.label is not None:
            found[sample.label].append(sample)
        else:
            unlabelled["(no label)"].append(sample)
    return {**found, **unlabelled}


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """Up to `PER_LABEL` of them, spread evenly over all and ordered by split."""
    order = sorted(samples, key=lambda s: list(_COLOURS).index(s.split or NO_SPLIT))
    places = np.linspace(0, len(order) - 1, min(PER_LABEL, len(order))).round().astype(int)
    return [order[i] for i in places]


def _thumbnail(image: NDArray[np.uint8]) -> _Thumbnail:
    """A small RGB picture, and its pixels per photo pixel."""
    from PIL import Image

    room = _CELL - 8
    zoom = room / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * zoom)), max(1, round(image.shape[0] * zoom)))
    rgb = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    return rgb.resize(size, Image.Resampling.BOX if zoom < 1 else Image.Resampling.NEAREST), zoom


def _label_text(draw: ImageDraw.ImageDraw, y: int, label: str, counts: dict[str, int]) -> None:
    draw.text((_GAP, y + 4), _fit(draw, label, _LEFT - 2 * _GAP), fill=_INK, font=_font())
    for place, (split, count) in enumerate(counts.items(), 1):
        text = f"{count}" if split == NO_SPLIT else f"{count} {split}"
        draw.text((_GAP, y + 6 + place * _LINE), text, fill=_COLOURS[split], font=_font())


def _fit(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """The text, cut to a width in pixels."""
    while text and draw.textlength(text, font=_font()) > width - _GAP:
        text = text[:-2].rstrip("…") + "…"
    return text


@lru_cache
def _font(size: int = 11) -> ImageFont.FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    # Labels may be of any language; Pillow's own font has Latin letters only.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
