"""Figures are found by file, row and column; what is not there is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from result_files import write_evaluation, write_json, write_results, write_run, write_table

from keyact.errors import InputError
from keyact.report import MissingFigureError, Results, Sample
from keyact.report import sources as reading
from keyact.report.comparing import differences, margin, ranking, verdict
from keyact.report.kinds import KINDS


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results.read([write_results(tmp_path_factory.mktemp("all"))])


def test_there_is_a_file_of_every_kind(results: Results) -> None:
    assert {kind for kind in KINDS if not results.of(kind)} == set()


@pytest.mark.parametrize(
    ("asked", "where", "found"),
    [
        (("sports18", "test", "top1"), {}, 0.9),
        (("sports18.json", "parameters"), {}, 2_655_604),
        (("evaluation/evaluation", "confusion", 0, 1), {}, 2),
        (("temporal/models", "test_top1"), {"model": "tcn", "seed": 1}, 0.902),
        (("temporal/models", "seed"), {"stat": "max"}, 2),
        (("temporal/models", "ms"), {"stat": "median", "model": "stgcnpp"}, 2.5),
        (("temporal/models", "test_top1"), {"stat": "count"}, 6),
        (("temporal/noise", "amount"), {"stat": "max", "noise": "jitter"}, 0.1),
        (("keypoints", "oks_detector"), {"lever": "margin", "value": 1.5}, 0.7),
        (("pipeline", "value"), {"what": "total"}, 64.4),
        (("pipeline", "setting"), {"what": "total"}, "some CPU, 2 thread(s)"),
        (("runs/first/metrics", "top1"), {}, 0.8),
    ],
)
def test_a_figure(results: Results, asked: Any, where: dict[str, Any], found: object) -> None:
    assert results.figure(*asked, **where) == pytest.approx(found)
    assert results.has(*asked, **{k: v for k, v in where.items() if k != "stat"})


@pytest.mark.parametrize(
    ("asked", "where", "named"),
    [
        (("temporal/model", "test_top1"), {}, "did you mean 'temporal/models.csv'"),
        (("temporal/models", "test_top2"), {}, "temporal/models.csv: has no test_top2"),
        (("temporal/models", "test_top1"), {"network": "tcn"}, "has no column network"),
        (("temporal/models", "test_top1"), {"model": "gcn"}, "no test_top1 where model is gcn"),
        (("temporal/models", "test_top1"), {"model": "tcn"}, "3 rows have a test_top1"),
        (("temporal/models", "model"), {"stat": "mean"}, "holds what is no number"),
        (("keypoints", "oks_detector"), {"value": "true boxes"}, "no oks_detector where"),
        (("sports18", "test", "top9"), {}, "sports18.json: has no test > top9"),
        (("sports18", "top1"), {"stat": "mean"}, "has no column top1"),
        (("environment", "backend"), {}, "backend was not measured"),
    ],
)
def test_a_missing_figure_is_named(
    results: Results, asked: Any, where: dict[str, Any], named: str
) -> None:
    with pytest.raises(MissingFigureError, match=named.replace("?", r"\?")):
        results.figure(*asked, **where)
    if "rows have" not in named and "stat" not in where:
        assert not results.has(*asked, **where)


def test_samples_and_what_follows_from_them(results: Results) -> None:
    tcn = results.sample("temporal/models", "test_top1", model="tcn")
    assert (tcn.mean, tcn.sd, tcn.n) == (pytest.approx(0.902), pytest.approx(0.002), 3)
    order = ranking(results, "temporal/models", "test_top1", by="model")
    assert [name for name, _ in order] == ["stgcnpp", "tcn"]
    assert verdict(order[0][1], order[1][1]) == "above"
    wide = Sample(tcn.mean + 0.01, 0.02, 3)
    assert verdict(wide, tcn) == verdict(tcn, wide) == "level"
    assert (verdict(0.7, 0.8), verdict(0.8, 0.8001), verdict(0.9, 0.8)) == (
        "below", "level", "above",
    )  # fmt: skip
    gains = differences(
        results, "temporal/actions", "recall", by="action", over="variant", one="full",
        other="single",
    )  # fmt: skip
    assert [name for name, _ in gains] == ["bowl", "squat", "clean_and_jerk"]
    assert gains[0][1] == pytest.approx(0.24 + 0.2)
    assert margin(0.5, 100) == pytest.approx(0.098)


def test_a_folder_that_is_one_result_gives_its_name(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "mine")
    write_run(tmp_path / "runs" / "second")
    found = Results.read([tmp_path / "mine", tmp_path / "runs" / "second"])
    assert [one.name for one in found.of("evaluation")] == ["mine/evaluation.json"]
    assert [one.name for one in found.of("run")] == ["second"]
    assert found.figure("second/metrics", "top1") == 0.8


def test_a_single_file_and_two_of_one_name(tmp_path: Path) -> None:
    one = write_table(tmp_path / "a" / "x.csv", [{"v": 1}])
    two = write_table(tmp_path / "b" / "x.csv", [{"v": 2}])
    write_json(tmp_path / "a" / "x.json", {"v": 3})
    assert Results.read([one]).figure("x", "v") == 1
    with pytest.raises(InputError, match=r"are both called x\.csv"):
        Results.read([one, two])
    with pytest.raises(MissingFigureError, match=r"x\.csv or x\.json: say which"):
        Results.read([tmp_path / "a"]).figure("x", "v")


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "secret.json", {"v": 1})
    folder = tmp_path / "results"
    write_json(folder / "mine.json", {"v": 2})
    os.symlink(tmp_path / "secret.json", folder / "link.json")
    os.symlink(tmp_path, folder / "up")
    write_json(folder / "cache" / "kept.json", {"v": 3})
    assert [one.name for one in Results.read([folder])] == ["mine.json"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b"\xff\xfe{}", "not UTF-8"),
        ("a.csv", b"a,b\n1\n", "has not 2 cells"),
        ("a.csv", b"a,a\n1,2\n", "of one name"),
        ("a.csv", b'a\n"x', "not a CSV table"),
        ("a.txt", b"", "neither a folder nor"),
    ],
)
def test_a_file_that_is_no_result(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        Results.read([tmp_path / name])


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "x.csv", [{"v": i} for i in range(30)])
    write_json(tmp_path / "y.json", {})
    for name, limit, said in (("MAX_ROWS", 20, "more than 20 rows"), ("MAX_BYTES", 10, "longer"),
                              ("MAX_FILES", 1, "more than 1 result files")):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(reading, name, limit)
            with pytest.raises(InputError, match=said):
                Results.read([tmp_path])


def test_no_results_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no result files"):
        Results.read([tmp_path])
    with pytest.raises(InputError, match="no such file or folder"):
        Results.read([tmp_path / "none"])
