"""What ``keyact predict`` and ``keyact pose`` tell a person: findings and a closing line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from rich.table import Table
from rich.text import Text

from keyact.results import UNKNOWN, Action, FrameResult

MAX_ROWS = 200  # more cannot be taken in; --json and --csv hold everything
SEEN = 0.2  # joint score from which a joint counts, and is drawn


@dataclass
class _Clip:
    """Frames of one video: how often each action was the photo's or a person's best."""

    frames: int = 0
    most_people: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    postures: Counter[str] = field(default_factory=Counter)


class Summary:
    """Collects results as they come: one row per person, and one per video."""

    def __init__(self, top_k: int) -> None:
        self.photos = 0
        self.frames = 0
        self.people = 0
        self.failed = 0
        self._top_k = top_k
        self._rows: list[tuple[str, ...]] = []
        self._left_out = 0
        self._clips: dict[str, _Clip] = {}

    def add(self, kind: Literal["photo", "video"], result: FrameResult) -> None:
        """Count one result of a photo or of a video's frame."""
        self.people += len(result.people)
        if kind == "photo":
            self.photos += 1
            self._add_photo(result)
        else:
            self.frames += 1
            self._add_frame(self._clips.setdefault(result.source, _Clip()), result)

    def table(self) -> Table:
        """The findings; empty when nothing was recognised."""
        table = Table(box=None, pad_edge=False)
        self._add_columns(table)
        videos = [self._video_row(source, clip) for source, clip in self._clips.items()]
        for row in self._rows + videos:
            # Text, because a file may well be called "holiday [red].jpg".
            table.add_row(*(Text(cell) for cell in row[: len(table.columns)]))
        return table

    def closing_line(self, seconds: float) -> str:
        """``12 photos, 19 people, 1 failed, 2.3 s``."""
        parts = [_count(self.photos, "photo")] if self.photos or not self.frames else []
        if self._clips:
            videos = _count(len(self._clips), "video")
            parts.append(f"{videos} ({_count(self.frames, 'frame')})")
        sightings = "people" if not self._clips else "people, counted frame by frame"
        parts.append("1 person" if self.people == 1 else f"{self.people} {sightings}")
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{seconds:.1f} s")
        return ", ".join(parts)

    @property
    def left_out(self) -> int:
        """Rows that the table does not show."""
        return self._left_out

    def _add_columns(self, table: Table) -> None:
        table.add_column("Source", overflow="fold", ratio=2)
        table.add_column("Person", justify="right")
        table.add_column("Action", overflow="fold")
        table.add_column("Posture", overflow="fold")
        if self._top_k > 1:
            table.add_column("Next best", style="dim", overflow="fold", ratio=2)

    def _video_row(self, source: str, clip: _Clip) -> tuple[str, ...]:
        return (
            f"{source} ({_count(clip.frames, 'frame')})",
            f"≤ {clip.most_people}",
            _shares(clip.actions, 1),
            _shares(clip.postures, 1),
            _shares(clip.actions, self._top_k, skip=1),
        )

    def _photo_rows(self, result: FrameResult) -> list[tuple[str, ...]]:
        return [
            (
                result.source,
                str(number),
                _action(person.action, person.actions),
                person.posture or "",
                _others(person.action, person.actions, self._top_k),
            )
            for number, person in enumerate(result.people, 1)
        ] or [
            (
                result.source,
                "no one",
                _action(result.image_action, result.image_actions) + " (whole photo)",
                "",
                _others(result.image_action, result.image_actions, self._top_k),
            )
        ]

    def _add_photo(self, result: FrameResult) -> None:
        rows = self._photo_rows(result)
        room = MAX_ROWS - len(self._rows)
        self._rows += rows[:room]
        self._left_out += max(0, len(rows) - room)

    def _add_frame(self, clip: _Clip, result: FrameResult) -> None:
        clip.frames += 1
        clip.most_people = max(clip.most_people, len(result.people))
        clip.actions.update([person.action for person in result.people] or [result.image_action])
        clip.postures.update(person.posture for person in result.people if person.posture)


class PoseSummary(Summary):
    """The same for key points alone: how many joints each person shows, instead of actions."""

    def __init__(self) -> None:
        super().__init__(top_k=1)

    def _add_columns(self, table: Table) -> None:
        table.add_column("Source", overflow="fold", ratio=2)
        table.add_column("Person", justify="right")
        table.add_column("Key points", justify="right")
        table.add_column("Score", justify="right")
        table.add_column("Posture", overflow="fold")

    def _video_row(self, source: str, clip: _Clip) -> tuple[str, ...]:
        frames = f"{source} ({_count(clip.frames, 'frame')})"
        return frames, f"≤ {clip.most_people}", "", "", _shares(clip.postures, 1)

    def _photo_rows(self, result: FrameResult) -> list[tuple[str, ...]]:
        return [
            (
                result.source,
                str(number),
                f"{int((person.keypoints[:, 2] >= SEEN).sum())} of {len(person.keypoints)}",
                f"{person.score:.2f}",
                person.posture or "",
            )
            for number, person in enumerate(result.people, 1)
        ] or [(result.source, "no one", "", "", "")]


def _action(action: str, ranked: tuple[Action, ...]) -> str:
    if action == UNKNOWN or not ranked:
        return action
    return f"{action} {ranked[0].probability:.0%}"


def _others(action: str, ranked: tuple[Action, ...], top_k: int) -> str:
    # An action that is called unknown still has a best guess, which belongs here.
    rest = ranked[:top_k] if action == UNKNOWN else ranked[1:top_k]
    return ", ".join(f"{one.label} {one.probability:.0%}" for one in rest[:3])


def _shares(counts: Counter[str], top_k: int, skip: int = 0) -> str:
    total = sum(counts.values())
    best = counts.most_common(min(top_k, skip + 3))[skip:]
    return ", ".join(f"{name} in {count / total:.0%}" for name, count in best)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
