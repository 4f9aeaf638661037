"""Small photos and tiny networks for the tests of data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

Draw = Callable[..., Path]


@pytest.fixture(scope="session")
def draw_photo() -> Draw:
    """Write a photo of coloured discs that differs with its seed; returns its path."""

    def draw(path: Path, seed: int, size: tuple[int, int] = (120, 100), **options: object) -> Path:
        rng = np.random.default_rng(seed)
        picture = Image.new("RGB", (120, 100), tuple(rng.integers(0, 255, 3).tolist()))
        pen = ImageDraw.Draw(picture)
        for _ in range(14):
            x, y = rng.uniform(0, 120), rng.uniform(0, 100)
            radius = rng.uniform(5, 40)
            colour = tuple(rng.integers(0, 255, 3).tolist())
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize(size).save(path, **options)
        return path

    return draw
