"""Fixtures that every test may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of the evaluation data, which is not part of the repository."""
    folder = Path(os.environ.get("KEYACT_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no evaluation data at {folder}; set KEYACT_SHARED to its folder")
    return folder


@pytest.fixture(scope="session")
def photos_dir(shared_dir: Path) -> Path:
    """Folder of four COCO photos with 12 annotated people."""
    folder = shared_dir / "data" / "media" / "photos"
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder}")
    return folder


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A server that ran in a test has set logging up for its process; others read the records."""
    logger = logging.getLogger("keyact")
    was = logger.propagate, logger.level, list(logger.handlers), logging.root.manager.disable
    yield
    logger.propagate, logger.level = was[0], was[1]
    logger.handlers[:] = was[2]
    logging.disable(was[3])
