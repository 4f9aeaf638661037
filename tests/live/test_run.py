from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_case import MadeUp, MadeUpSource, MjpegServer, write_clip
from live_stages import LABELS, recognizer
from PIL import Image

from keyact import Recognizer
from keyact.errors import InputError
from keyact.live import LiveRecognizer, watch
from keyact.live.source import Picture
from keyact.live.stats import Meter
from keyact.results import UNKNOWN


def shades(count: int, rate: float = 10, size: tuple[int, int] = (100, 300)) -> list[Picture]:
    return [Picture(n / rate, np.full((*size, 3), n % 256, np.uint8)) for n in range(count)]


def live(sources: list[Any], made: Recognizer | None = None, **options: Any) -> LiveRecognizer:
    """Without the sequence network that is bundled, whichever it is."""
    return LiveRecognizer(sources, made, **{"sequence": False, **options})


def made_up(*plays: object, kind: str = "file") -> MadeUpSource:
    return MadeUpSource(*plays, kind=kind)  # type: ignore[arg-type]


def test_a_file_is_followed_from_its_first_frame_to_its_last() -> None:
    made, *_ = recognizer(people=2)
    run = live([made_up(MadeUp(shades(20), recorded=True))], made)
    assert run.labels == LABELS
    frames = list(run)
    results = [frame.result for frame in frames]
    assert [r.index for r in results] == list(range(20)) and results[3].timestamp == 0.3
    assert {frame.source for frame in frames} == {"made up"}
    assert all([p.track_id for p in r.people] == [1, 2] for r in results[1:])
    # An action has to last before it is settled, and then it stays.
    settled = [r.people[0].settled for r in results]
    first = settled.index("walk")
    assert set(settled[:first]) == {UNKNOWN} and set(settled[first:]) == {"walk"}
    assert 4 <= first <= 10
    assert frames[-1].now[1] == pytest.approx({"walk": 0.9, "run": 0.1, "field hockey": 0})
    (source,) = run.summary().sources
    assert (source.frames, source.decoded, source.dropped) == (20, 20, 0)
    assert (source.state, source.people, source.looked, source.carried) == ("ended", 2, 40, 0)
    assert source.p50_ms <= source.p95_ms and source.fps > 0


def test_several_sources_take_turns() -> None:
    made, *_ = recognizer(people=1)
    sources = [made_up(MadeUp(shades(12), recorded=True)) for _ in range(3)]
    frames = list(live(sources, made))
    for number in range(3):
        own = [frame for frame in frames if frame.number == number]
        assert [frame.result.index for frame in own] == list(range(12))
        assert {p.track_id for f in own[1:] for p in f.result.people} == {1}
    order = [frame.number for frame in frames]
    assert max(order.index(n) for n in range(3)) < 12  # nobody waits for another's end


def test_a_slow_machine_drops_frames_and_looks_at_people_in_turn() -> None:
    made, _, pose, _ = recognizer(people=4, speed=0)
    real = pose.__class__.__call__

    class SlowPose(type(pose)):
        def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            time.sleep(0.02 * len(boxes))
            return real(self, image, boxes)

    made = made.with_stages(pose=SlowPose())
    source = made_up(MadeUp(shades(400), rate=20, pause=0.01), kind="network")
    run = live([source], made, min_fps=20, retries=0)
    frames = []
    for frame in run:
        frames.append(frame)
        if len(frames) == 25:
            run.stop()
    (one,) = run.summary().sources
    assert one.dropped > 0 and one.decoded >= one.frames + one.dropped
    assert one.carried > one.looked / 2 and one.every > 1.3
    ages = [person.pose_age for frame in frames for person in frame.result.people]
    assert max(ages) > 0 and ages.count(0) < len(ages)
    everybody = live(
        [made_up(MadeUp([*shades(9), InputError("off")], pause=0.02), kind="network")],
        made, min_fps=0, retries=0,
    )  # fmt: skip
    assert {p.pose_age for frame in everybody for p in frame.result.people} == {0}


def test_a_camera_that_breaks_off_comes_back_with_another_size() -> None:
    made, *_ = recognizer(people=1, speed=0)
    told: list[str] = []
    with MjpegServer([[(300, 100)] * 25, [(600, 200)] * 40], pause=0.02) as camera:
        run = live([camera.address], made, allow_network=True, told=told.append, min_fps=0)
        sizes, numbers, times = [], [], []
        for frame in run:
            result = frame.result
            assert frame.image.shape[1::-1] == (result.width, result.height)
            sizes.append(result.width)
            numbers.append(result.index)
            times.append(result.timestamp)
            if sizes.count(600) == 5:
                run.stop()
    assert set(sizes) == {300, 600} and sizes == sorted(sizes)
    assert numbers == sorted(set(numbers)) and times == sorted(set(times))
    (one,) = run.summary().sources
    assert one.reconnects >= 1 and one.error is None
    assert any("trying again in 0.5 s" in text for text in told)
    assert "secret" not in " ".join(told) + one.source


def test_one_source_that_fails_leaves_the_others_alone() -> None:
    made, *_ = recognizer(people=1)
    bad = made_up(MadeUp([*shades(3), InputError("bad.mp4: damaged")], recorded=True))
    good = made_up(MadeUp(shades(9), recorded=True))
    run = live([bad, good], made)
    counts = [frame.number for frame in run]
    assert counts.count(1) == 9 and counts.count(0) in (2, 3)
    first, second = run.summary().sources
    assert (first.state, first.error) == ("failed", "bad.mp4: damaged")
    assert (second.state, second.error) == ("ended", None)


def test_photos_are_not_followed(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((100, 300, 3), np.uint8)).save(tmp_path / name)
    frames = list(watch([str(tmp_path)], recognizer(people=2)[0], sequence=False))
    assert [Path(frame.result.source).name for frame in frames] == ["a.png", "b.png"]
    people = [person for frame in frames for person in frame.result.people]
    assert {(p.track_id, p.settled, p.pose_age) for p in people} == {(None, None, 0)}
    assert {frame.result.timestamp for frame in frames} == {None}


def test_after_a_long_break_people_are_new() -> None:
    made, *_ = recognizer(people=1, speed=0)
    pictures = shades(5) + [Picture(60 + n / 10, p.pixels) for n, p in enumerate(shades(5))]
    run = live([made_up(MadeUp(pictures, recorded=True))], made)
    numbers = [frame.result.people[0].track_id for frame in run]
    assert numbers == [None, 1, 1, 1, 1, None, 2, 2, 2, 2]


def test_stop_from_another_thread_ends_it(tmp_path: Path) -> None:
    made, *_ = recognizer(people=1)
    clip = write_clip(tmp_path / "clip.mp4", frames=50)
    run = live([str(clip)], made, realtime=True)
    threading.Timer(0.5, run.stop).start()
    start = time.monotonic()
    seen = len(list(run))
    assert seen < 50 and time.monotonic() - start < 20
    assert run.summary().sources[0].state == "ended"


def test_whoever_iterates_is_heard_while_nothing_comes() -> None:
    calls = []

    def idle() -> None:
        calls.append(threading.current_thread())
        if len(calls) == 3:
            run.stop()

    source = made_up(*[InputError("off")] * 9, kind="network")
    run = live([source], recognizer()[0], idle=idle)
    assert list(run) == [] and calls == [threading.current_thread()] * 3


def test_leaving_the_loop_ends_the_threads() -> None:
    made, *_ = recognizer(people=1)
    run = live([made_up(MadeUp(shades(500), recorded=True))], made)
    for _ in run:
        break
    end = time.monotonic() + 5
    while any(t.name == "keyact-made up" for t in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="--allow-network"):
        live(["http://127.0.0.1:1/x"])
    with pytest.raises(ValueError, match="needs a source"):
        live([])


def test_memory_of_the_meter_does_not_grow() -> None:
    meter = Meter()
    assert (meter.fps, meter.mean_fps, meter.lag_ms(50), meter.seconds) == (0, 0, 0, 0)
    for number in range(20_000):
        meter.add(number / 50, 0.001 * (number % 100))
    assert (meter.frames, len(meter._lags)) == (20_000, 5000)
    assert (meter.fps, meter.mean_fps) == (pytest.approx(50), pytest.approx(50))
    assert meter.lag_ms(50) == pytest.approx(49.5) and meter.lag_ms(95) == pytest.approx(94, abs=1)
