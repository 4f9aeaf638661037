from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_case import MadeUp, MadeUpSource

from keyact.errors import InputError
from keyact.live.capture import Backoff, Capture
from keyact.live.source import Picture


def pictures(count: int, rate: float = 10.0, size: int = 4) -> list[Picture]:
    return [
        Picture(number / rate, np.full((size, size, 3), number, np.uint8))
        for number in range(count)
    ]


def capture(source: MadeUpSource, **options: object) -> Capture:
    made = Capture(source, threading.Condition(), **options)  # type: ignore[arg-type]
    made.start()
    return made


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@given(st.lists(st.booleans(), max_size=40))
def test_back_off_doubles_up_to_its_most_until_something_works(works: list[bool]) -> None:
    backoff = Backoff(0.5, 30)
    in_a_row = 0
    for work in works:
        if work:
            backoff.reset()
            in_a_row = 0
        else:
            assert backoff.fail() == min(0.5 * 2**in_a_row, 30)
            in_a_row += 1
            assert backoff.failures == in_a_row


def test_the_newest_frame_replaces_one_that_waits() -> None:
    one = capture(MadeUpSource(MadeUp([*pictures(10), InputError("gone")])), retries=0)
    until(lambda: one.state == "failed")
    assert (one.frames, one.dropped, one.ready, one.over) == (10, 9, True, False)
    shot = one.take()
    assert shot is not None and (shot.index, shot.image[0, 0, 0]) == (9, 9)
    assert one.take() is None and one.over and "gone" in str(one.error)


def test_what_is_taken_is_at_most_one_frame_old() -> None:
    made = MadeUp([*pictures(60), InputError("gone")], pause=0.005)
    one = capture(MadeUpSource(made), retries=0)
    taken = []
    while not one.over:
        until(lambda: one.ready or one.over)
        newest = one.frames - 1
        shot = one.take()
        if shot is not None:
            assert shot.index >= newest
            taken.append(shot.index)
        time.sleep(0.02)
    assert taken == sorted(set(taken))
    assert one.frames == 60 == len(taken) + one.dropped and one.dropped > 10


def test_of_a_recorded_source_every_frame_is_handed_over() -> None:
    made = MadeUp(pictures(30), recorded=True)
    one = capture(MadeUpSource(made, kind="file"))
    taken = []
    while not one.over:
        until(lambda: one.ready or one.over)
        if (shot := one.take()) is not None:
            taken.append((shot.index, shot.seconds))
    assert taken == [(n, n / 10) for n in range(30)]
    assert (one.dropped, one.state, one.error, made.closed) == (0, "ended", None, True)


def test_in_real_time_a_recorded_source_keeps_its_own_pace() -> None:
    now, waits = 100.0, []

    def wait(seconds: float) -> bool:
        nonlocal now
        waits.append(seconds)
        now += seconds
        return False

    one = capture(
        MadeUpSource(MadeUp(pictures(5), recorded=True), kind="file"),
        realtime=True, clock=lambda: now, wait=wait,
    )  # fmt: skip
    assert one.join(20) and one.live
    assert waits == pytest.approx([0.1] * 4) and one.dropped == 4


def test_a_lost_stream_is_opened_again_later_and_later() -> None:
    now, waits, told = 0.0, [], []

    def wait(seconds: float) -> bool:
        nonlocal now
        waits.append(seconds)
        now += seconds
        return False

    lost = InputError("cam: lost")
    source = MadeUpSource(
        lost, lost, lost, MadeUp([*pictures(2), lost]), lost, MadeUp([*pictures(3, size=8), lost]),
        lost, lost, lost,
    )  # fmt: skip
    one = capture(source, retries=2, wait=wait, clock=lambda: now, told=told.append)
    assert one.join(20)
    # The third failure in a row is one too many: at the start, before any frame.
    assert (one.reconnects, waits) == (2, [0.5, 1.0]) and one.state == "failed"

    waits.clear()
    source = MadeUpSource(
        lost, MadeUp([*pictures(2), lost]), lost, MadeUp([*pictures(3, size=8), lost]), lost, lost
    )
    one = capture(source, retries=2, wait=wait, clock=lambda: now, told=told.append)
    assert one.join(20)
    assert waits == [0.5, 0.5, 1.0, 0.5, 1.0] and one.reconnects == 5
    assert one.frames == 5 and told[0] == "cam: lost; trying again in 0.5 s"
    shot = one.take()
    # Numbers and times go on over the break; the size is the new one.
    assert shot is not None and (shot.index, shot.image.shape) == (4, (8, 8, 3))
    assert shot.seconds == pytest.approx(1.5)


@pytest.mark.parametrize(("kind", "again"), [("camera", False), ("network", True)])
def test_a_camera_that_was_never_there_is_a_wrong_number(kind: str, again: bool) -> None:
    lost = InputError("camera 7: cannot be opened")
    one = capture(MadeUpSource(lost, lost, kind=kind), retries=1, wait=lambda seconds: False)
    assert one.join(20)
    assert (one.reconnects, one.error) == (int(again), lost)


def test_a_recording_on_a_server_does_not_begin_anew() -> None:
    lost = InputError("http://x/clip.mp4: broke off")
    source = MadeUpSource(MadeUp([*pictures(1), lost], recorded=True), MadeUp(pictures(1)))
    one = capture(source, wait=lambda seconds: False)
    assert one.join(20) and (one.reconnects, one.error, one.live) == (0, lost, False)


def test_one_bad_picture_is_told_and_the_rest_goes_on() -> None:
    first, last = pictures(2)
    told: list[str] = []
    made = MadeUp([first, Picture(0.05, InputError("b.png: damaged")), last], recorded=True)
    one = capture(MadeUpSource(made, kind="photos"), told=told.append)
    until(lambda: one.ready)
    one.take()
    until(lambda: one.ready)
    assert told == ["b.png: damaged"] and one.take().index == 1


def test_a_fault_of_ours_ends_one_source_and_says_so() -> None:
    one = capture(MadeUpSource(MadeUp([RuntimeError("oops")])))
    assert one.join(20)
    assert one.state == "failed" and "made up: RuntimeError: oops" in str(one.error)


@pytest.mark.parametrize("waiting", ["for its turn", "before the next try"])
def test_stop_is_heard_while_it_waits(waiting: str) -> None:
    if waiting == "for its turn":
        one = capture(MadeUpSource(MadeUp(pictures(9), recorded=True), kind="file"))
        until(lambda: one.ready)
    else:
        one = capture(MadeUpSource(InputError("lost")), backoff=Backoff(60, 60))
        until(lambda: one.state == "waiting")
    one.stop()
    assert one.join(5) and one.error is None
