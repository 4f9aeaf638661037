from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from keyact.serve.work import BusyError, LateError, Places, WorkQueue


def run(scenario: Callable[[WorkQueue], Awaitable[None]], workers: int, waiting: int) -> None:
    async def main() -> None:
        queue = WorkQueue(workers, waiting)
        try:
            await asyncio.wait_for(scenario(queue), 30)
        finally:
            await asyncio.to_thread(queue.close)

    asyncio.run(main())


def test_results_and_errors_come_back() -> None:
    async def scenario(queue: WorkQueue) -> None:
        assert await queue.run(lambda a, b: a + b, 1, 2, timeout=10) == 3
        with pytest.raises(ZeroDivisionError):
            await queue.run(lambda: 1 / 0, timeout=10)
        await asyncio.sleep(0.05)
        assert queue.held == 0

    run(scenario, 1, 1)


def test_one_more_than_may_wait_is_refused() -> None:
    async def scenario(queue: WorkQueue) -> None:
        go = threading.Event()
        tasks = [asyncio.create_task(queue.run(go.wait, 20, timeout=20)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (queue.running, queue.waiting) == (1, 2)
        with pytest.raises(BusyError):
            await queue.run(go.wait, timeout=20)
        go.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        await asyncio.sleep(0.05)
        assert await queue.run(lambda: "free again", timeout=20) == "free again"

    run(scenario, 1, 2)


def test_late_work_is_given_up_but_holds_its_worker() -> None:
    async def scenario(queue: WorkQueue) -> None:
        go = threading.Event()
        ran = []
        with pytest.raises(LateError):
            await queue.run(go.wait, 20, timeout=0.1)
        with pytest.raises(LateError):  # never begins
            await queue.run(ran.append, 1, timeout=0.1)
        assert queue.held >= 1
        go.set()
        await queue.run(lambda: None, timeout=20)
        await asyncio.sleep(0.05)
        assert queue.held == 0
        assert ran == []

    run(scenario, 1, 2)


def test_the_patient_wait_outside_the_queue() -> None:
    async def scenario(queue: WorkQueue) -> None:
        go = threading.Event()
        patient = [
            asyncio.create_task(queue.run(go.wait, 20, timeout=20, patient=True)) for _ in range(9)
        ]
        await asyncio.sleep(0.05)
        assert queue.held == 1  # the others take no place
        photo = asyncio.create_task(queue.run(lambda: "photo", timeout=20))
        await asyncio.sleep(0.05)
        go.set()
        assert await photo == "photo"
        assert await asyncio.gather(*patient) == [True] * 9

    run(scenario, 1, 1)


def test_places_are_given_back() -> None:
    places = Places(2, "clips")
    with pytest.raises(ZeroDivisionError), places.one():
        1 / 0  # noqa: B018
    with places.one(), places.one():
        with pytest.raises(BusyError, match="2 clips"), places.one():
            pass
        assert places.taken == 2
    assert places.taken == 0
