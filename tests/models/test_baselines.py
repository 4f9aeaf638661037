from __future__ import annotations

import sys

import numpy as np
import pytest
from train.sequence_case import recordings

from keyact.errors import KeyactError, UnknownNameError
from keyact.models.baselines import BASELINES, baseline, series
from keyact.sequences import Features, known_skeleton


def test_series_are_channels_over_time() -> None:
    features = Features(known_skeleton("kinect20"), 3, 16, ("joint", "score"))
    some = recordings()
    found = series(some, features)
    assert found.shape == (len(some), 20 * 4, 16)
    np.testing.assert_array_equal(found[1, 3], features(some[1])[0][:, 0, 3])


def test_names_and_what_is_missing_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'minirocket'"):
        baseline("mini-rocket")
    monkeypatch.setitem(sys.modules, "aeon", None)
    with pytest.raises(KeyactError, match=r"keyact\[aeon\]"):
        baseline("minirocket")


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_other_peoples_actions(name: str) -> None:
    pytest.importorskip("aeon", reason="needs the extra: pip install 'keyact[aeon]'")
    features = Features(known_skeleton("kinect20"), 3, 32, ("joint",))
    some = recordings(subjects=5)
    parts = [[r for r in some if (r.split == "test") is test] for test in (False, True)]
    train, test = ((series(part, features), [str(r.label) for r in part]) for part in parts)
    model = baseline(name).fit(train[0], np.array(train[1]))
    assert np.mean(model.predict(test[0]) == np.array(test[1])) > 0.8
