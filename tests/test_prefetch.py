from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from keyact.prefetch import prefetch


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_order_is_kept_and_nothing_is_lost(depth: int) -> None:
    assert list(prefetch(range(50), depth)) == list(range(50))


def test_items_may_be_none() -> None:
    assert list(prefetch([None, None], 1)) == [None, None]


def test_an_empty_iterable_ends() -> None:
    assert list(prefetch([], 3)) == []


@pytest.mark.parametrize("depth", [1, 3])
def test_at_most_depth_items_wait(depth: int) -> None:
    made: list[int] = []
    beyond = threading.Event()

    def numbers() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            if len(made) > depth + 1:  # one was taken below, depth may wait
                beyond.set()
            yield i

    items = prefetch(numbers(), depth)
    assert next(items) == 0
    assert not beyond.wait(0.2)
    items.close()


def test_the_next_item_is_made_while_the_last_is_used() -> None:
    second = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    items = prefetch(numbers(), 2)
    next(items)
    assert second.wait(5)
    items.close()


def test_an_error_comes_in_its_place() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("disk gone")

    items = prefetch(numbers(), 4)
    assert next(items) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(items)


def test_closing_early_closes_the_source_and_ends_the_thread() -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    items = prefetch(numbers(), 2)
    next(items)
    items.close()
    assert closed.is_set()
    assert not [t for t in threading.enumerate() if t.name == "keyact-prefetch"]


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(prefetch([1], 0))
