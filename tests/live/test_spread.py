from __future__ import annotations

import numpy as np
import pytest
from live_stages import recognizer

from keyact.live.spread import MAX_AGE, MAX_TURNS, Spread, moved
from keyact.results import FrameResult

IMAGE = np.zeros((100, 400, 3), np.uint8)


def play(spread: Spread, frames: int, budget: int | None, rate: float = 10.0) -> list[FrameResult]:
    results = []
    for number in range(frames):
        seconds = spread._seconds + 1 / rate
        spread.begin(seconds, None)
        spread.budget = budget
        result = spread.recognizer(IMAGE, index=number, timestamp=seconds)
        results.append(spread.end(result, 0.01))
    return results


def test_with_time_for_everybody_nothing_changes() -> None:
    plain, *_ = recognizer()
    spread = Spread(recognizer()[0])
    for number, result in enumerate(play(spread, 4, None)):
        expected = plain(IMAGE, index=number, timestamp=result.timestamp)
        same = {"timings_ms": {}}
        assert result.model_copy(update=same) == expected.model_copy(update=same)
    assert (spread.looked, spread.carried, spread.every) == (12, 0, 1.0)


def test_people_are_looked_at_in_turn_and_the_others_move_with_their_box() -> None:
    made, _, pose, action = recognizer(people=3)
    spread = Spread(made)
    results = play(spread, 7, budget=1)
    # All are new in the first frame; then one per frame, whoever waits longest.
    assert pose.asked == action.asked == [3, 1, 1, 1, 1, 1, 1]
    ages = [sorted(person.pose_age for person in result.people) for result in results]
    assert ages == [[0, 0, 0], [0, 1, 1], [0, 1, 2], *[[0, 1, 2]] * 4]
    looked = [[p.box[0] for p in r.people if p.pose_age == 0] for r in results[1:4]]
    assert len({round(left / 60) for (left,) in looked}) == 3
    truth, *_ = recognizer(people=3)
    for number, result in enumerate(results):
        for person, true in zip(result.people, truth(IMAGE, index=number).people, strict=True):
            np.testing.assert_allclose(person.keypoints, true.keypoints, atol=0.02)
            assert (person.action, person.actions) == (true.action, true.actions)
    assert (spread.looked, spread.carried) == (9, 12) and 1.5 < spread.every <= 3
    assert FrameResult.from_json(results[-1].to_json()) == results[-1]


def test_carried_actions_are_those_of_the_last_look() -> None:
    made, _, _, action = recognizer(people=2)
    spread = Spread(made)
    play(spread, 1, budget=1)
    action.row = (0.2, 0.8, 0.0)
    (first, second) = play(spread, 2, budget=1)
    assert sorted(person.action for person in first.people) == ["run", "walk"]
    assert [person.action for person in second.people] == ["run", "run"]
    # The photo's verdict is the mean of what is known of its people.
    assert first.image_actions[0].probability == pytest.approx(0.55)


def test_nobody_waits_too_long_whatever_the_budget() -> None:
    made, *_ = recognizer(people=6)
    spread = Spread(made)
    results = play(spread, 20, budget=1, rate=10)
    oldest = max(person.pose_age for result in results for person in result.people)
    assert oldest <= max(MAX_TURNS, MAX_AGE * 10)
    made, *_ = recognizer(people=6)
    slow = [p.pose_age for r in play(Spread(made), 12, budget=1, rate=1) for p in r.people]
    assert max(slow) == MAX_TURNS - 1


@pytest.mark.parametrize(
    ("new", "shift"),
    [
        ((13, 24, 53, 104), (3, 4)),
        ((13, 20, 57, 100), (3, 0)),  # as far as both edges went
        ((0, 20, 70, 100), (0, 0)),  # arms stretched to both sides
        ((0, 20, 50, 98), (0, 0)),  # or to one
        ((4, 18, 42, 97), (-6, -2)),
    ],
)
def test_key_points_move_as_far_as_both_edges(
    new: tuple[float, ...], shift: tuple[float, float]
) -> None:
    points = np.array([[20, 30, 0.5], [40, 90, 0.0]], np.float32)
    old = np.array([10, 20, 50, 100], np.float32)
    result = moved(points, old, np.array(new, np.float32))
    np.testing.assert_allclose(result - points, [[*shift, 0]] * 2)


def test_who_jumps_is_somebody_new() -> None:
    made, detector, *_ = recognizer(people=1, speed=0)
    spread = Spread(made)
    play(spread, 2, budget=1)
    detector.frame, detector.speed = 1, 30
    made_new = play(spread, 1, budget=1)[0]
    assert made_new.people[0].pose_age == 0


def test_empty_frames_and_other_numbers_of_people() -> None:
    made, detector, *_ = recognizer(people=0)
    spread = Spread(made)
    (empty,) = play(spread, 1, budget=1)
    assert empty.image_only and empty.image_action == "walk"
    for people in (2, 0, 3, 1):
        detector.people = people
        (result,) = play(spread, 1, budget=1)
        assert len(result.people) == people
        assert all(person.pose_age == 0 for person in result.people)


def test_the_budget_follows_what_frames_cost() -> None:
    made, *_ = recognizer(people=5)
    spread = Spread(made)
    for _ in range(40):
        spread.begin(spread._seconds + 0.1, 0.1)
        looked = spread.budget
        result = spread.recognizer(IMAGE, timestamp=spread._seconds)
        fresh = spread._ages.count(0)
        # 30 ms for each frame and 20 for each person: three in 100 ms.
        slow = result.model_copy(
            update={"timings_ms": {"pose": 12.0 * fresh, "action": 8.0 * fresh}}
        )
        spread.end(slow, 0.03 + 0.02 * fresh)
    assert looked == 3
    spread.begin(spread._seconds + 0.1, 0.001)
    assert spread.budget == 1  # never nobody
    spread.begin(spread._seconds + 0.1, None)
    assert spread.budget is None
