from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_sets import LABELS, of, random_set

from keyact.errors import KeyactError
from keyact.evaluate import (
    Predictions,
    bootstrap,
    expected_calibration_error,
    figures,
    mcnemar,
    metrics,
)
from keyact.evaluate.significance import wilson
from keyact.evaluate.subgroups import subgroups


def test_figures_of_a_table_done_by_hand() -> None:
    found = figures(of([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]))
    assert found["top1"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3, abs=1e-4)
    # F1: run 2*2/(3+3), swim 2*2/(2+3), sit 0; ride does not occur and does not count.
    assert found["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3, abs=1e-4)
    assert found["ece"] == pytest.approx(0.7 - 4 / 6, abs=1e-4)
    assert found["top5"] == 1.0
    assert "photos_with_person" not in found


def test_average_precision_is_the_area_under_the_steps() -> None:
    # One class in the ranking hit, miss, hit: precision 1 at recall .5, 2/3 at recall 1.
    rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], np.float32)
    found = Predictions(("a", "b"), ("x", "y", "z"), np.array([0, 1, 0]), rows)
    a, b = (1 + 2 / 3) / 2, 1 / 2  # b: its one row is second of three by its probability
    assert metrics.mean_average_precision(found) == pytest.approx((a + b) / 2)


def test_a_class_that_does_not_occur_does_not_count() -> None:
    wide = random_set(60, 1)
    narrow = wide.take(wide.targets != 3)
    assert {row.label for row in metrics.per_class(narrow)} == set(LABELS[:3])
    recalls = [
        (narrow.predicted[narrow.targets == c] == c).mean() for c in range(3)
    ]  # fmt: skip
    assert metrics.balanced_accuracy(narrow) == pytest.approx(np.mean(recalls))
    assert metrics.confusion(narrow).shape == (4, 4)
    assert metrics.confusion(narrow).sum() == len(narrow)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.62, 0.65, 0.95, 0.99, 1.0])
    right = np.array([True, False, True, True, False])
    # Bins of 1/15: .62 and .65 share [.6, .667), the others [.933, 1].
    gap = 2 * abs(0.635 - 0.5) + 3 * abs((0.95 + 0.99 + 1.0) / 3 - 2 / 3)
    assert expected_calibration_error(confidence, right) == pytest.approx(gap / 5)
    assert [b.rows for b in metrics.reliability(confidence, right)] == [2, 3]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_is_a_share_and_ignores_the_order(rows: list[tuple[float, bool]]) -> None:
    confidence = np.array([row[0] for row in rows])
    right = np.array([row[1] for row in rows])
    found = expected_calibration_error(confidence, right)
    assert 0 <= found <= 1
    assert expected_calibration_error(confidence[::-1], right[::-1]) == pytest.approx(found)
    assert sum(b.rows for b in metrics.reliability(confidence, right)) == len(rows)


def test_the_more_is_left_open_the_surer_the_rest() -> None:
    found = metrics.accuracy_at_coverage(random_set(400, 3), (1.0, 0.5))
    assert found["50%"] > found["100%"] + 0.05
    assert found["100%"] == pytest.approx(float(random_set(400, 3).right.mean()))


@pytest.mark.parametrize("name", metrics.METRICS)
def test_intervals_hold_the_value_and_follow_the_seed(name: str) -> None:
    found = random_set(80, 5)
    figure = metrics.METRICS[name]
    one = bootstrap(found, figure, resamples=25, seed=1)
    assert one.value == figure(found)
    assert one.low <= one.high
    assert one == bootstrap(found, figure, resamples=25, seed=1)
    assert one[1:] != bootstrap(found, figure, resamples=25, seed=2)[1:] or name == "top5"
    assert bootstrap(found, figure, resamples=0) == (one.value,) * 3


def test_copies_in_one_group_do_not_narrow_the_interval() -> None:
    """Ten copies of every photo tell no more than one of each, if they are of one group."""
    single = random_set(60, 7)
    copied = single.take(np.repeat(np.arange(60), 10))
    groups = tuple(f"g{i // 10}" for i in range(600))
    grouped = Predictions(copied.labels, copied.paths, copied.targets, copied.probabilities, groups)
    widths = [
        np.ptp(bootstrap(one, metrics.METRICS["top1"], resamples=200)[1:])
        for one in (single, grouped, copied)
    ]
    assert widths[1] == pytest.approx(widths[0], rel=0.2)
    assert widths[2] < widths[0] / 2


def test_mcnemar_counts_what_only_one_has_right() -> None:
    one = of([0] * 12, [0] * 10 + [1] * 2)
    other = of([0] * 12, [0] * 2 + [1] * 8 + [0] * 2)
    test = mcnemar(one, other)
    assert (test.gained, test.lost) == (8, 2)
    assert test.p == pytest.approx(2 * (1 + 10 + 45) / 2**10)  # two-sided binomial, 2 of 10
    assert mcnemar(one, one) == (0, 0, 1.0)
    mirrored = mcnemar(other, one)
    assert (mirrored.gained, mirrored.lost, mirrored.p) == (2, 8, test.p)


def test_mcnemar_matches_rows_by_path_not_by_place() -> None:
    one = random_set(50, 9)
    shuffled = one.take(np.random.default_rng(0).permutation(50))
    assert mcnemar(one, shuffled) == (0, 0, 1.0)


def test_mcnemar_refuses_other_photos_and_other_labels() -> None:
    one = of([0, 1], [0, 1])
    with pytest.raises(KeyactError, match="same photos"):
        mcnemar(one, of([0, 1, 2], [0, 1, 2]))
    with pytest.raises(KeyactError, match=r"1\.jpg"):
        mcnemar(one, of([0, 2], [0, 1]))


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(1, 30))
def test_wilson_stays_within_0_and_1(right: int, rows: int) -> None:
    found = wilson(min(right, rows), rows)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


def test_every_row_is_in_one_part_of_each_table() -> None:
    rng = np.random.default_rng(2)
    rows = 90
    found = random_set(
        rows,
        4,
        groups=tuple(f"subject {i % 3}" for i in range(rows)),
        attributes={
            "people": rng.integers(0, 8, rows),
            "box_size": np.where(rng.random(rows) < 0.2, 0, rng.random(rows)),
            "visible_joints": rng.integers(0, 18, rows),
            "light": rng.random(rows),
            "camera": np.array(["left", "right"])[rng.integers(0, 2, rows)],
            "constant": np.ones(rows),
        },
    )
    tables = subgroups(found)
    assert set(tables) == {"people", "box_size", "visible_joints", "light", "camera", "group"}
    for table in tables.values():
        assert sum(part.rows for part in table) == rows
        hits = sum(part.rows * part.accuracy for part in table)
        assert hits == pytest.approx(found.right.sum())
    nobody = next(part for part in tables["people"] if part.name == "nobody")
    assert nobody.rows == (found.attributes["people"] == 0).sum()
    assert [part.name for part in tables["group"]] == ["subject 0", "subject 1", "subject 2"]
