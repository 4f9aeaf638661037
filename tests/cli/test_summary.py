from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from keyact.cli.summary import Summary
from keyact.results import Action, FrameResult, Person


def result(people: int, source: str = "a.jpg", action: str = "golf") -> FrameResult:
    ranked = (Action(label="golf", probability=0.8), Action(label="tennis", probability=0.2))
    person = Person(
        box=(0, 0, 10, 20),
        box_score=0.9,
        score=2.0,
        layout="coco17",
        keypoints=np.zeros((17, 3)),
        action=action,
        actions=ranked,
        posture="standing",
    )
    return FrameResult(
        source=source,
        width=30,
        height=40,
        image_action=action,
        image_actions=ranked,
        image_only=people == 0,
        people=(person,) * people,
        timings_ms={},
        model="m",
    )


def cells(summary: Summary) -> list[list[str]]:
    table = summary.table()
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("people", "action", "rows"),
    [
        (1, "golf", [["a.jpg", "1", "golf 80%", "standing", "tennis 20%"]]),
        (0, "golf", [["a.jpg", "no one", "golf 80% (whole photo)", "", "tennis 20%"]]),
        # What is called unknown still has its guesses, among the next best.
        (1, "unknown", [["a.jpg", "1", "unknown", "standing", "golf 80%, tennis 20%"]]),
        (
            2,
            "golf",
            [
                ["a.jpg", "1", "golf 80%", "standing", "tennis 20%"],
                ["a.jpg", "2", "golf 80%", "standing", "tennis 20%"],
            ],
        ),
    ],
)
def test_rows_of_a_photo(people: int, action: str, rows: list[list[str]]) -> None:
    summary = Summary(top_k=5)
    summary.add("photo", result(people, action=action))
    assert cells(summary) == rows


def test_one_ranked_action_needs_no_column_for_others() -> None:
    summary = Summary(top_k=1)
    summary.add("photo", result(1))
    assert cells(summary) == [["a.jpg", "1", "golf 80%", "standing"]]


def test_a_video_is_one_row() -> None:
    summary = Summary(top_k=5)
    for people, action in ((2, "golf"), (1, "golf"), (1, "unknown"), (0, "golf")):
        summary.add("video", result(people, "clip.mp4", action))
    assert cells(summary) == [
        ["clip.mp4 (4 frames)", "≤ 2", "golf in 80%", "standing in 100%", "unknown in 20%"]
    ]


def test_names_are_not_read_as_markup() -> None:
    summary = Summary(top_k=1)
    summary.add("photo", result(1, "holiday [red].jpg"))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary.table())
    assert "holiday [red].jpg" in capture.get()


@pytest.mark.parametrize(
    ("added", "failed", "line"),
    [
        ([], 1, "0 photos, 0 people, 1 failed, 2.0 s"),
        ([("photo", 1)], 0, "1 photo, 1 person, 2.0 s"),
        ([("photo", 2), ("photo", 0)], 0, "2 photos, 2 people, 2.0 s"),
        ([("video", 1)], 0, "1 video (1 frame), 1 person, 2.0 s"),
        (
            [("photo", 1), ("video", 2), ("video", 2)],
            2,
            "1 photo, 1 video (2 frames), 5 people, counted frame by frame, 2 failed, 2.0 s",
        ),
    ],
)
def test_the_closing_line(added: list[tuple[str, int]], failed: int, line: str) -> None:
    summary = Summary(top_k=5)
    summary.failed = failed
    for kind, people in added:
        summary.add(kind, result(people))  # type: ignore[arg-type]
    assert summary.closing_line(2.0) == line
