from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="training needs the extra: pip install 'keyact[train]'")

from keyact.action.keypoint_fusion import softmax
from keyact.train.calibration import (
    ACCEPTED_ACCURACY,
    best_temperature,
    calibrate,
    figures,
    threshold_of,
)


def logits_of(
    rng: np.random.Generator, count: int, scale: float, spread: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at temperature ``scale`` is exactly how likely each label is."""
    honest = rng.normal(0, spread, (count, 5)).astype(np.float32)
    labels = np.array([rng.choice(5, p=p / p.sum()) for p in softmax(honest).astype(float)])
    return honest * np.float32(scale), labels


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_a_known_overconfidence(scale: float) -> None:
    logits, labels = logits_of(np.random.default_rng(0), 4000, scale)
    assert best_temperature(logits, labels) == pytest.approx(scale, rel=0.1)


def test_what_is_above_the_threshold_is_as_right_as_promised() -> None:
    logits, labels = logits_of(np.random.default_rng(1), 2000, 1.5)
    people = [one[None] for one in logits]
    meta = calibrate(people, labels)
    found = figures(people, labels, meta)
    assert found["named_accuracy"] == pytest.approx(ACCEPTED_ACCURACY, abs=0.01)
    assert 0 < found["named_share"] < 1


def test_photos_of_something_else_raise_the_threshold() -> None:
    """So that of all that gets a name, theirs counted as wrong, as much is right as promised."""
    rng = np.random.default_rng(2)
    logits, labels = logits_of(rng, 3000, 1.0, spread=5.0)
    people = [one[None] for one in logits]
    strange = [one[None] for one in rng.normal(0, 3, (500, 5)).astype(np.float32)]
    thresholds = []
    for share in (0.0, 0.05, 0.2):
        found = calibrate(people, labels, strange, share)
        thresholds.append(found["unknown_threshold"])
        told = softmax(logits / np.float32(found["photo_temperature"]))
        others = softmax(np.concatenate(strange) / np.float32(found["photo_temperature"]))
        named, wrong = (p.max(1) >= thresholds[-1] for p in (told, others))
        right = (named & (told.argmax(1) == labels)).mean() * (1 - share)
        all_named = named.mean() * (1 - share) + wrong.mean() * share
        assert right / all_named == pytest.approx(ACCEPTED_ACCURACY, abs=0.01)
    assert thresholds == sorted(set(thresholds))


def test_a_photo_is_the_mean_of_its_people() -> None:
    crowd = np.array([[4.0, 0, 0], [0, 3.0, 0], [0, 3.0, 0]], np.float32)
    found = figures([crowd, crowd[:1]], np.array([1, 0]))
    assert (found["top1"], found["balanced_accuracy"]) == (1.0, 1.0)


@pytest.mark.parametrize("sure", [9.0, 0.2])
def test_where_all_are_right_even_odds_are_enough(sure: float) -> None:
    right = [np.array([[sure, 0.0, 0.0]], np.float32)] * 4
    probabilities = softmax(np.concatenate(right))
    labels = np.zeros(4, int)
    assert threshold_of(probabilities, labels) == min(0.5, round(float(probabilities[0, 0]), 3))


def test_without_a_right_answer_everything_is_unknown() -> None:
    wrong = [np.array([[5.0, 0.0]], np.float32)] * 4
    assert calibrate(wrong, np.ones(4, int))["unknown_threshold"] == 1.0
