from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx_models import make_action, make_pose

from keyact.errors import WeightsError
from keyact.runtime import OnnxModel
from keyact.serve.batching import SharedRuns

SIZE = (64, 48)


def crops(seed: int, rows: int = 1) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(seed).integers(0, 255, (rows, *SIZE, 3), np.uint8)}


class Held(SharedRuns):
    """Its first run waits, so that what comes meanwhile gathers."""

    def __init__(self, **options: object) -> None:
        self.ran: list[int] = []
        super().__init__(make_pose(None, *SIZE), 1, observe=self.hold, **options)  # type: ignore[arg-type]
        self.go = threading.Event()

    def hold(self, rows: int) -> None:
        self.ran.append(rows)
        if len(self.ran) == 1:
            assert self.go.wait(30)

    @property
    def gathered(self) -> int:
        return len(self._waiting)


def together(network: Held, feeds: list[dict[str, np.ndarray]]) -> list[object]:
    """Answers of calls that all come while the first one runs; errors are answers here."""

    def call(one: dict[str, np.ndarray]) -> object:
        try:
            return network.run(one)
        except WeightsError as error:
            return error

    with ThreadPoolExecutor(len(feeds)) as pool:
        calls = [pool.submit(call, feeds[0])]
        while not network.ran:
            time.sleep(0.001)
        for one in feeds[1:]:
            before = network.gathered
            calls.append(pool.submit(call, one))
            while network.gathered == before:
                time.sleep(0.001)
        network.go.set()
        return [future.result(30) for future in calls]


@pytest.mark.parametrize(
    ("rows", "sizes", "ran"),
    [
        (8, (1, 1, 1, 1), [1, 3]),
        (8, (2, 3, 4), [2, 7]),
        (4, (1, 3, 3, 1), [1, 3, 4]),
        (2, (1, 5, 1), [1, 5, 1]),  # larger than a batch: alone
    ],
)
def test_waiting_calls_share_a_run(rows: int, sizes: tuple[int, ...], ran: list[int]) -> None:
    network = Held(rows=rows)
    single = OnnxModel(make_pose(None, *SIZE), 1)
    feeds = [crops(i, size) for i, size in enumerate(sizes)]
    answers = together(network, feeds)
    assert network.ran == ran
    for one, answer in zip(feeds, answers, strict=True):
        expected = single.run(one)
        assert isinstance(answer, dict) and answer.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(answer[name], value, atol=1e-6)


def test_a_bad_call_does_not_spoil_the_others() -> None:
    network = Held(rows=8)
    wrong = {"image": np.zeros((1, *SIZE, 3), np.float32)}  # another type: never beside others
    answers = together(network, [crops(0), wrong, crops(1), crops(2)])
    assert isinstance(answers[1], WeightsError)
    assert all(isinstance(answers[i], dict) for i in (0, 2, 3))
    assert network.ran == [1, 1, 2]
    assert network.run(crops(3))  # the slot is free again


def test_a_failing_run_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Held(rows=8)

    def fail(self: OnnxModel, feeds: object) -> None:
        raise WeightsError("broken")

    monkeypatch.setattr(OnnxModel, "run", fail)
    answers = together(network, [crops(0), crops(1), crops(2)])
    assert all(isinstance(answer, WeightsError) for answer in answers)


def test_many_threads_get_their_own_answers() -> None:
    network = SharedRuns(make_pose(None, *SIZE), 1, runs=2, rows=4)
    single = OnnxModel(make_pose(None, *SIZE), 1)
    feeds = [crops(i, 1 + i % 3) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(network.run, feeds))
    for one, answer in zip(feeds, answers, strict=True):
        np.testing.assert_allclose(answer["heatmaps"], single.run(one)["heatmaps"], atol=1e-6)


def test_what_has_no_rows_to_share_runs_alone() -> None:
    assert SharedRuns(make_pose(None, *SIZE), 1).shares
    assert not SharedRuns(make_pose(None, *SIZE), 1, rows=1).shares
    assert not SharedRuns(make_action(crop_margin=1.3), 1).shares  # one photo, several people
