from __future__ import annotations

import numpy as np
import pytest

from keyact.layouts import get_layout
from keyact.results import FrameResult, Person
from keyact.track import ByteTrack, Follower

WALK = np.array([[10, 20, 60, 180], [300, 20, 350, 180]], np.float32)


def boxes(frame: int) -> np.ndarray:
    """Two people who walk towards each other and past."""
    return WALK + frame * np.array([[6, 0, 6, 0], [-6, 0, -6, 0]], np.float32)


def test_numbers_stay_whatever_the_order_of_boxes() -> None:
    track = ByteTrack(25)
    rng = np.random.default_rng(0)
    first = None
    for frame in range(12):
        order = rng.permutation(2)
        numbers = track(boxes(frame)[order], np.array([0.9, 0.8])[order])
        if frame:
            told = dict(zip(order.tolist(), numbers.tolist(), strict=True))
            first = first or told
            assert told == first and set(told.values()) == {1, 2}


def test_somebody_hidden_for_a_moment_keeps_the_number_and_a_newcomer_gets_another() -> None:
    track = ByteTrack(10, lost_seconds=1)
    for frame in range(5):
        numbers = track(boxes(frame), [0.9, 0.9])
    for frame in range(5, 9):
        assert track(boxes(frame)[1:], [0.9])[0] == numbers[1]
    assert track(boxes(9), [0.9, 0.9]).tolist() == numbers.tolist()
    for _ in range(30):
        assert track(np.zeros((0, 4)), []).shape == (0,)
    track(boxes(9), [0.9, 0.9])
    assert not set(track(boxes(9), [0.9, 0.9]).tolist()) & set(numbers.tolist())


def test_somebody_who_stretches_the_arms_stays_the_same() -> None:
    track = ByteTrack(5)
    rng = np.random.default_rng(0)
    told = []
    for frame in range(60):
        spread = 45 if (frame // 5) % 2 else 0
        box = np.array([[85 - spread, 130, 118 + spread, 225]]) + rng.normal(0, 2, (1, 4))
        if frame % 13 < 9:  # now and then the detector misses
            told += track(box, [0.6]).tolist()
        else:
            track(np.zeros((0, 4)), [])
    assert set(told) == {-1, 1} and told.count(-1) < 8


def test_two_people_never_have_one_number() -> None:
    rng = np.random.default_rng(0)
    track = ByteTrack(10)
    for _ in range(300):
        spots = rng.uniform(0, 120, (rng.integers(0, 5), 2))
        numbers = track(np.concatenate([spots, spots + 60], 1), rng.uniform(0.3, 1, len(spots)))
        known = numbers[numbers > 0].tolist()
        assert len(known) == len(set(known))


def test_unsure_boxes_go_on_with_a_track_and_begin_none() -> None:
    track = ByteTrack(25)
    for frame in range(4):
        assert (track(boxes(frame), [0.9, 0.3])[1]) == -1
    assert track(boxes(4)[:1], [0.3]).tolist() == [1]


def test_each_video_counts_from_one() -> None:
    for _ in range(2):
        track = ByteTrack(25)
        track(boxes(0), [0.9, 0.9])
        assert sorted(track(boxes(0), [0.9, 0.9]).tolist()) == [1, 2]


def skeleton(box: np.ndarray) -> np.ndarray:
    """17 joints of somebody who stands in a box."""
    points = np.full((17, 3), 0.8)
    points[:, 0] = box[0] + (box[2] - box[0]) * (0.3 + 0.4 * (np.arange(17) % 2))
    points[:, 1] = np.linspace(box[1], box[3], 17)
    return points


@pytest.mark.parametrize(("poses", "expected"), [(False, {1, 2}), (True, {1})])
@pytest.mark.parametrize("mirrored", [False, True])
def test_somebody_who_is_found_twice_has_one_number(
    poses: bool, expected: set[int], mirrored: bool
) -> None:
    track = ByteTrack(10)
    narrow, wide = np.array([80.0, 130, 120, 225]), np.array([50.0, 122, 150, 227])
    pose = skeleton(narrow)
    twin = pose[get_layout("coco17").flip] if mirrored else pose
    told = set()
    for number in range(20):
        both = 5 <= number < 12
        boxes = [narrow, wide] if both else [narrow]
        joints = [pose, twin] if both else [pose]
        told |= set(track(boxes, [0.9, 0.8][: len(boxes)], joints if poses else None).tolist())
    assert told - {-1} == expected


def test_two_people_close_together_are_two() -> None:
    track = ByteTrack(10)
    pair = np.array([[80.0, 130, 120, 225], [100.0, 132, 140, 226]])
    for _ in range(4):
        numbers = track(pair, [0.9, 0.9], [skeleton(box) for box in pair])
    assert sorted(numbers.tolist()) == [1, 2]


def test_the_rate_may_change_and_everybody_be_forgotten() -> None:
    track = ByteTrack(30, lost_seconds=1)
    track(boxes(0), [0.9, 0.9])
    assert track(boxes(0), [0.9, 0.9]).tolist() == [1, 2]
    track.fps = 10
    for _ in range(8):
        track(np.zeros((0, 4)), [])
    assert sorted(track(boxes(0), [0.9, 0.9]).tolist()) == [1, 2]
    for _ in range(12):  # more than a second now
        track(np.zeros((0, 4)), [])
    track(boxes(0), [0.9, 0.9])
    assert sorted(track(boxes(0), [0.9, 0.9]).tolist()) == [3, 4]
    track.forget()
    track(boxes(0), [0.9, 0.9])
    assert sorted(track(boxes(0), [0.9, 0.9]).tolist()) == [5, 6]


def test_another_frame_size_changes_no_number() -> None:
    follow = Follower(ByteTrack(25), fps=25)
    plain = Follower(ByteTrack(25), fps=25)
    for number in range(20):
        result, scale = frame(number, 2, shake=1), 1.0 if number < 8 else 0.5
        small = result.model_copy(
            update={
                "width": int(400 * scale), "height": int(200 * scale),
                "people": tuple(
                    Person.model_validate(
                        dict(p) | {
                            "box": tuple(v * scale for v in p.box),
                            "keypoints": p.keypoints * (scale, scale, 1),
                        }
                    )
                    for p in result.people
                ),
            }
        )  # fmt: skip
        followed, expected = follow(small), plain(result)
        for person, true in zip(followed.people, expected.people, strict=True):
            assert person.track_id == true.track_id
            wanted = true.keypoints * (scale, scale, 1)
            np.testing.assert_allclose(person.keypoints, wanted, atol=0.02)


@pytest.mark.parametrize("bad", [{"fps": 0}, {"lost_seconds": 0}])
def test_bad_rates_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ByteTrack(**bad)


def frame(number: int, people: int = 1, shake: float = 0.0, seed: int = 0) -> FrameResult:
    rng = np.random.default_rng(seed * 1000 + number)
    listed = []
    for row in range(people):
        x1, y1, x2, y2 = (float(v) for v in WALK[row] + [number, 0, number, 0])
        points = np.ones((17, 3)) * 0.9
        points[:, 0] = np.linspace(x1, x2, 17) + rng.normal(0, shake, 17)
        points[:, 1] = np.linspace(y1, y2, 17) + rng.normal(0, shake, 17)
        points[4] = (0, 0, 0)  # never found
        listed.append(
            Person(box=(x1, y1, x2, y2), box_score=0.9, score=2, layout="coco17", keypoints=points)
        )
    return FrameResult(
        source="clip", index=number, timestamp=number / 25, width=400, height=200,
        image_only=not people, people=tuple(listed), timings_ms={}, model="m",
    )  # fmt: skip


def test_following_numbers_people_and_steadies_them() -> None:
    follow = Follower(ByteTrack(25), fps=25)
    plain, steady = [], []
    for number in range(40):
        result = frame(number, 2, shake=1.5)
        followed = follow(result)
        assert [p.box for p in followed.people] == [p.box for p in result.people]
        if number > 10:
            assert [p.track_id for p in followed.people] == [1, 2]
            true = frame(number, 2).people[0].keypoints
            plain.append(result.people[0].keypoints - true)
            steady.append(followed.people[0].keypoints - true)
            assert (followed.people[0].keypoints[4] == 0).all()
            np.testing.assert_array_equal(
                followed.people[0].keypoints[:, 2], result.people[0].keypoints[:, 2]
            )
    assert np.std(steady) < 0.8 * np.std(plain)
    assert FrameResult.from_json(followed.to_json()) == followed


def test_without_smoothing_only_the_number_is_new() -> None:
    follow = Follower(ByteTrack(25), smooth=False)
    follow(frame(0))
    followed = follow(frame(1, shake=2))
    assert followed.people[0].track_id == 1
    np.testing.assert_array_equal(
        followed.people[0].keypoints, frame(1, shake=2).people[0].keypoints
    )


def test_memory_is_that_of_the_people_in_sight() -> None:
    follow = Follower(ByteTrack(25, lost_seconds=0.2), fps=25)
    for number in range(0, 3000, 50):
        for step in range(3):
            follow(frame(number + step))
    assert len(follow._filters) <= 1
