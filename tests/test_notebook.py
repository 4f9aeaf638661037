"""The tour runs from its first cell to its last, on the people that it draws."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TOUR = NOTEBOOKS / "keyact_tour.ipynb"


def test_it_is_committed_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs: pip install nbclient")
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.slow
def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="needs: pip install ipykernel")
    for module, extra in (("keras", "train"), ("tensorflow", "train"), ("jinja2", "report")):
        if find_spec(module) is None:  # not imported: TensorFlow takes seconds
            pytest.skip(f"needs the extra: pip install 'keyact[{extra}]'")
    import nbformat

    shutil.copy(NOTEBOOKS / "drawn.py", tmp_path)
    monkeypatch.setenv("KEYACT_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.read(TOUR, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    pictures = sum(
        any(kind.startswith("image/") for kind in output.get("data", {}))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    assert pictures >= 5
    assert (tmp_path / "tour" / "report.html").stat().st_size > 10_000
    said = "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.get("name") == "stdout"
    )
    assert re.search(r"^#1 .* s: (jumping jack|squat)$", said, re.MULTILINE), said
