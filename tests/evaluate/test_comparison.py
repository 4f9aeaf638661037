from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import make_action

from keyact.data import Sample
from keyact.errors import KeyactError
from keyact.evaluate import comparison
from keyact.evaluate.comparison import compare
from keyact.evaluate.comparison_report import Compared, markdown, pareto_front, save_comparison
from keyact.evaluate.cost import Latency
from keyact.evaluate.perturbations import CORRUPTIONS
from keyact.evaluate.robustness_report import Condition, Robustness


@pytest.fixture
def latencies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measured in no time; what was asked for is listed."""
    asked: list[str] = []

    def measure(
        model: Any, threads: int, *, photo: Any = None, stages: Any = None, runs: int = 1
    ) -> Latency:
        assert photo is None or stages == ("tiny-detector", "tiny-pose")
        asked.append(f"{Path(model).stem} {threads}")
        return Latency(10.0 / threads, 12.0 / threads, 30.0 if photo else None, 100.0)

    monkeypatch.setattr(comparison, "measure_latency", measure)
    monkeypatch.setattr(comparison, "usable_cpus", lambda: 2)
    return asked


TINY: dict[str, Any] = {"detector": "tiny-detector", "pose": "tiny-pose", "jobs": 1}


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """One that is right, and one that takes green for red."""
    paths = [tmp_path / "runs" / name / "model.onnx" for name in ("good", "bad")]
    for path, labels in zip(
        paths, (("red", "green", "blue"), ("green", "red", "blue")), strict=True
    ):
        path.parent.mkdir(parents=True)
        make_action(path, labels, crop_margin=1.3)
    return paths


def test_models_are_judged_measured_and_kept(
    tmp_path: Path,
    photos: Any,
    models: list[Path],
    latencies: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = compare(models, photos.dataset, tmp_path / "out", resamples=20, **TINY)
    good, bad = table
    assert (good.model, bad.model) == ("good/model", "bad/model")
    assert good.top1 == pytest.approx(12 / 13, abs=1e-4)
    assert bad.top1 == pytest.approx(4 / 13, abs=1e-4)
    assert good.top1_low <= good.top1 <= good.top1_high
    assert (good.p_vs_first, bad.gained, bad.lost) == (None, 0, 8)
    assert bad.p_vs_first == pytest.approx(2 * 0.5**8, rel=0.01)
    assert (good.ms_1_p50, good.ms_2_p95, good.photo_ms_1_p50) == (10.0, 6.0, 30.0)
    assert good.mce_vs_first is None
    assert good.bytes == models[0].stat().st_size
    assert latencies == ["model 1", "model 2"] * 2

    def nobody(*_: Any, **__: Any) -> Any:
        raise AssertionError("people were looked for again")

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "find_people", nobody)
        assert compare(models, photos.dataset, tmp_path / "out", resamples=20, **TINY) == table
    assert len(latencies) == 4
    make_action(models[1], ("red", "green", "blue"), crop_margin=1.2)  # trained anew
    again = compare(models, photos.dataset, tmp_path / "out", resamples=20, **TINY)
    assert again[0] == table[0]
    assert again[1].top1 > table[1].top1
    assert len(latencies) == 6


def test_other_groups_are_other_intervals(
    tmp_path: Path, photos: Any, models: list[Path], latencies: list[str]
) -> None:
    def intervals(dataset: Any, out: str) -> list[tuple[float, float]]:
        table = compare(models, dataset, tmp_path / out, resamples=50, **TINY)
        return [(row.top1_low, row.top1_high) for row in table]

    samples = tuple(
        replace(sample, group=f"g{number // 6}")
        for number, sample in enumerate(photos.dataset.samples)
    )
    grouped = replace(photos.dataset, samples=samples)
    before = intervals(photos.dataset, "kept")
    after = intervals(grouped, "kept")
    assert after == intervals(grouped, "fresh") != before


def test_photos_that_cannot_be_read_are_said_each_time(
    tmp_path: Path, photos: Any, models: list[Path], latencies: list[str]
) -> None:
    gone = Sample(tmp_path / "gone.png", "red", photos.dataset.samples[0].split)
    dataset = replace(photos.dataset, samples=(*photos.dataset.samples, gone))
    told: list[str] = []
    for count in (1, 2):
        compare(
            models[:1], dataset, tmp_path / "out", resamples=0, **TINY,
            on_photo_error=lambda source, error: told.append(str(error)),
        )  # fmt: skip
        assert len(told) == count and "gone.png" in told[-1]


def test_a_broken_model_is_told_and_the_others_go_on(
    tmp_path: Path, photos: Any, models: list[Path], latencies: list[str]
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no network")
    told: list[str] = []
    table = compare(
        [broken, models[0]], photos.dataset, tmp_path, resamples=0, **TINY,
        on_model_error=lambda name, error: told.append(name),
    )  # fmt: skip
    assert told == ["broken"]
    assert [row.model for row in table] == ["model"]
    with pytest.raises(KeyactError, match="broken"):
        compare([broken, models[0]], photos.dataset, tmp_path, **TINY)
    with pytest.raises(KeyactError, match="no model"):
        compare([broken], photos.dataset, tmp_path, on_model_error=lambda *_: None)


def test_robustness_becomes_corruption_errors(
    tmp_path: Path, photos: Any, models: list[Path], latencies: list[str]
) -> None:
    def bear(model: str) -> Robustness:
        def row(name: str, family: Any, severity: int, top1: float) -> Condition:
            return Condition(
                perturbation=name, family=family, severity=severity, photos=13, top1=top1, ece=0,
                confidence=0.5, photos_with_person=1,
            )  # fmt: skip

        accuracy = 0.8 if "good" in model else 0.6
        return Robustness(
            model=model, dataset="", keep_keypoints=False, size=224, seed=0,
            clean=row("clean", "clean", 0, 1.0),
            conditions=tuple(row(name, "corruption", 1, accuracy) for name in CORRUPTIONS),
        )  # fmt: skip

    table = compare(models, photos.dataset, tmp_path, robustness=bear, resamples=0, **TINY)
    assert [row.corruption_accuracy for row in table] == [0.8, 0.6]
    assert [row.mce_vs_first for row in table] == [None, 2.0]


def row(model: str = "m", top1: float = 0.5, ms: float = 1.0, **changes: Any) -> Compared:
    empty = dict.fromkeys(Compared.model_fields)
    numbers = {name: 1 for name in Compared.model_fields}
    optional = ("p_vs_first", "corruption_accuracy", "corruption_relative", "mce_vs_first")
    values = {**empty, **numbers, **dict.fromkeys(optional), "model": model}
    values |= {"top1": top1, "top1_low": top1, "top1_high": top1, "ms_1_p50": ms}
    return Compared(**{**values, **changes})


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 50)), min_size=1, max_size=12))
def test_the_front_is_what_none_beats_in_both(points: list[tuple[float, float]]) -> None:
    table = [row(str(i), top1, ms) for i, (top1, ms) in enumerate(points)]
    front = pareto_front(table)
    assert front
    for one in table:
        beaten = any(
            other.top1 >= one.top1
            and other.ms_1_p50 <= one.ms_1_p50
            and (other.top1, other.ms_1_p50) != (one.top1, one.ms_1_p50)
            for other in table
        )
        if one in front:
            assert not beaten
        else:
            assert beaten or any(
                (one.top1, one.ms_1_p50) == (other.top1, other.ms_1_p50) for other in front
            )


def test_it_is_written_as_csv_markdown_and_picture(tmp_path: Path) -> None:
    table = [row("first", 0.9, 20), row("a|b", 0.8, 5, p_vs_first=0.031)]
    save_comparison(tmp_path, table)
    with (tmp_path / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [one["model"] for one in rows] == ["first", "a|b"]
    assert float(rows[1]["p_vs_first"]) == 0.031
    text = (tmp_path / "comparison.md").read_text("utf-8")
    assert text == markdown(table)
    assert len({line.count(" | ") for line in text.replace("a\\|b", "ab").splitlines()[::2]}) == 1
    assert "mCE" not in text  # nobody has one
    assert "p vs first" in text
    assert cv2.imread(str(tmp_path / "pareto.png")).std() > 5
