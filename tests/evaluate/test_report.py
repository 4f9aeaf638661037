from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prediction_sets import of, random_set

from keyact.errors import InputError
from keyact.evaluate import Evaluation, Predictions, evaluate, load_predictions, save_evaluation
from keyact.evaluate.mistakes import right_examples, worst_mistakes

PICTURES = ("confusion", "reliability", "coverage", "curves", "subgroups", "mistakes", "hits")


def test_a_report_is_written_and_read_back(tmp_path: Path, photos: Any) -> None:
    paths = tuple(str(sample.path) for sample in photos.dataset.samples)
    rng = np.random.default_rng(0)
    found = random_set(len(paths), 1, attributes={"people": rng.integers(0, 2, len(paths))})
    found = Predictions(
        found.labels, paths, found.targets, found.probabilities, None, found.attributes,
        model="tiny", dataset="made", unknown_threshold=0.5, failed=("broken.jpg",),
    )  # fmt: skip
    report = evaluate(found, against=[found], split="val", resamples=20)
    save_evaluation(tmp_path / "out", report, found)
    read = Evaluation.load(tmp_path / "out" / "evaluation.json")
    assert read.to_json() == report.to_json()
    assert read.metrics["top1"].value == pytest.approx(found.right.mean(), abs=1e-5)
    assert read.failed == ("broken.jpg",)
    assert np.array(read.confusion).sum() == read.rows == len(paths)
    assert read.comparisons[0].p == 1.0
    assert read.named.share == pytest.approx((found.confidence >= 0.5).mean(), abs=1e-5)
    for name in PICTURES:
        picture = cv2.imread(str(tmp_path / "out" / f"{name}.png"))
        assert picture is not None, name
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 5  # not blank
    assert len(load_predictions(tmp_path / "out" / "predictions.npz")) == len(paths)
    lines = (tmp_path / "out" / "per_class.csv").read_text("utf-8").splitlines()
    assert lines[0] == "label,rows,predicted,precision,recall,f1"
    assert not list((tmp_path / "out").glob("*.part*"))


def test_the_schema_names_every_field_that_is_written() -> None:
    schema = Evaluation.model_json_schema()
    written = evaluate(random_set(20, 2), resamples=0).to_json()
    assert set(written) == set(schema["properties"])
    assert written["schema_version"] == "1"
    json.dumps(written, allow_nan=False)


@pytest.mark.parametrize(
    "found",
    [of([0], [0]), of([0, 0, 0], [1, 1, 1]), of([0, 1], [0, 1], sure=1.0)],
    ids=["one row", "all wrong, one class", "certain"],
)
def test_odd_sets_of_predictions_still_give_a_report(tmp_path: Path, found: Predictions) -> None:
    save_evaluation(tmp_path, evaluate(found, resamples=5), found)
    assert Evaluation.load(tmp_path / "evaluation.json").rows == len(found)


def test_right_examples_are_of_all_actions_alike() -> None:
    found = random_set(200, 3)
    rows = right_examples(found, 6)
    assert found.right[rows].all() and len(set(rows)) == 6
    assert sorted(found.targets[rows[:4]]) == [0, 1, 2, 3]
    best = [max(found.confidence[(found.targets == c) & found.right]) for c in range(4)]
    assert list(found.confidence[rows[:4]]) == best


def test_worst_mistakes_are_wrong_and_sorted_by_confidence() -> None:
    found = random_set(80, 3)
    rows = worst_mistakes(found, 10)
    assert not found.right[rows].any()
    assert (np.diff(found.confidence[rows]) <= 0).all()
    assert found.confidence[rows].min() >= np.sort(found.confidence[~found.right])[-10:].min()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("[]", "not an evaluation"),
        ('{"schema_version": "2"}', "not an evaluation"),
        ("nonsense", "not an evaluation"),
    ],
)
def test_files_that_are_no_evaluation_are_one_line(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "evaluation.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        Evaluation.load(path)
    assert "\n" not in str(caught.value)


def test_no_rows_is_an_error() -> None:
    with pytest.raises(InputError, match="no predictions"):
        evaluate(of([0], [0]).take(np.array([], int)))
