"""A recogniser over the frames of one video: who is who, steady key points, a timeline.

>>> from keyact.video import VideoRecognizer  # doctest: +SKIP
>>> run = VideoRecognizer(Recognizer(), fps=25)  # doctest: +SKIP
>>> for image, result in run.frames(frames):  # doctest: +SKIP
...     print([(person.track_id, run.label(person.track_id)) for person in result.people])
>>> run.timeline("clip.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyact import action
from keyact.layouts import convert
from keyact.recognizer import ALL, Frame, Recognizer
from keyact.results import UNKNOWN, Action, FrameResult
from keyact.timeline import Evidence, Hysteresis, LiveTimeline, Segment, VideoTimeline
from keyact.timeline.evidence import STEP
from keyact.timeline.offline import LEAST_RATE
from keyact.track import ByteTrack, Follower

if TYPE_CHECKING:
    from keyact.action import SequenceModel
    from keyact.track import Tracker


class VideoRecognizer:
    """Recognises one video; memory does not grow with its length, but for the timeline's segments.

    Parameters
    ----------
    recognizer : for the single frames; several videos may share one.
    fps : frames per second of what is looked at.
    sequence : a sequence network, its name or its file; None is as of `keyact.action.load_sequence`
        beside the recogniser's model, and False is none: the timeline then rests on the verdicts
        of single frames.
    tracker : fresh for this video; `keyact.track.ByteTrack` by default.
    smooth : steady each person's key points.
    hysteresis : when an action begins and ends.
    collect : keep the segments for `timeline`. Without it they come from ``on_segment`` alone.

    Raises
    ------
    UnknownNameError, WeightsError : no such sequence network, or not one for videos.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        fps: float = 25.0,
        *,
        sequence: str | Path | SequenceModel | bool | None = None,
        tracker: Tracker | None = None,
        smooth: bool = True,
        hysteresis: Hysteresis | None = None,
        collect: bool = True,
    ) -> None:
        network = sequence_network(recognizer, sequence)
        self._recognizer = recognizer
        self._eyes = None if network is None else network.eyes
        model = recognizer.action_model
        # What is settled rests on all actions, however few of them are wanted in a result.
        self._whole = recognizer.with_stages(top_k=ALL)
        self.models: tuple[str, ...] = (model.name,) if model.labels else ()
        if network is not None:
            self.models = (network.name, *self.models)
        evidence = Evidence.of(
            network, tuple(model.labels), model.unknown_threshold, recognizer.min_confidence
        )
        self._evidence = evidence
        chosen = tracker or ByteTrack(fps)
        self._lost = chosen.lost_seconds
        # Of fewer frames nothing is ever settled: a cell of the timeline would be empty, or a
        # window too thin for the sequence network.
        self._slowest = STEP if network is None else min(network.step, 1 / LEAST_RATE)
        self._follow = Follower(chosen, smooth, fps)
        # A little longer than the tracker remembers: a number it gives again finds its track.
        self._live = LiveTimeline(evidence, hysteresis, chosen.lost_seconds + 1, collect)

    def frames(self, frames: Iterable[Frame]) -> Iterator[tuple[NDArray[np.uint8], FrameResult]]:
        """Each frame with its result, people numbered and their key points steady.

        Raises
        ------
        InputError : the video is damaged; frames before the damage have been given by then, and
            `timeline` is about them.
        """
        try:
            for image, result in self._whole.recognize_frames(frames):
                yield image, self.push(result, image).top(self._recognizer.top_k)
        finally:
            self.finish()

    def push(self, result: FrameResult, image: NDArray[np.uint8] | None = None) -> FrameResult:
        """One more frame that was recognised elsewhere; see `frames`.

        Parameters
        ----------
        result : with every action ranked; one that is missing counts as impossible.
        image : (H, W, 3) BGR, for a sequence network that looks at pictures; without it that
            network goes by the key points alone.
        """
        seconds = self._follow.seconds(result)
        followed = self._follow(result)
        self._live.push(followed, seconds, self._glances(followed, seconds, image))
        return followed

    def _glances(
        self, result: FrameResult, seconds: float, image: NDArray[np.uint8] | None
    ) -> dict[int, NDArray[np.float32]]:
        if self._eyes is None or image is None:
            return {}
        due = {
            person.track_id: person
            for person in result.people
            if person.track_id is not None and self._live.due(person.track_id, seconds)
        }
        if not due:
            return {}
        boxes = [person.box for person in due.values()]
        points = [convert(person.keypoints, person.layout, "coco17") for person in due.values()]
        return dict(zip(due, self._eyes(image, boxes, np.stack(points)), strict=True))

    def label(self, track_id: int | None) -> str:
        """What a person does now, as far as that is settled, or ``unknown``."""
        settled = None if track_id is None else self._live.label(track_id)
        return UNKNOWN if settled is None else settled

    @property
    def lost(self) -> float:
        """Seconds after which somebody who was not seen is somebody else."""
        return self._lost

    @property
    def slowest(self) -> float:
        """Seconds between frames above which nothing is ever settled."""
        return self._slowest

    @property
    def labels(self) -> tuple[str, ...]:
        """The actions that it can name."""
        return self._evidence.labels

    def now(self, track_id: int | None) -> dict[str, float]:
        """Probabilities of a person's actions at this moment, settled or not."""
        return {} if track_id is None else self._live.now(track_id)

    def finish(self) -> list[tuple[int, Segment]]:
        """The video is over; the segments that were open. `frames` calls it."""
        return self._live.finish()

    def timeline(self, source: str) -> VideoTimeline:
        """Who did what when, after the last frame."""
        return self._live.timeline(source, self.models)


class RunningVideo:
    """Recognises frames that come at a pace of their own, with breaks, for as long as they do.

    Memory does not grow. How fast frames come is told by their times; after a break whoever is
    there counts as somebody else.

    Parameters
    ----------
    recognizer : for the single frames; several videos may share one.
    fps : what to expect before the first frames have told.
    sequence : as of `VideoRecognizer`.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        fps: float = 10.0,
        *,
        sequence: str | Path | SequenceModel | bool | None = None,
    ) -> None:
        self._tracker = ByteTrack(fps)
        self._video = VideoRecognizer(
            recognizer, sequence=sequence, tracker=self._tracker, collect=False
        )
        self._last: float | None = None  # seconds of the last frame
        self._interval = 0.0  # seconds between frames, over the last few

    @property
    def labels(self) -> tuple[str, ...]:
        """The actions that it can name."""
        return self._video.labels

    @property
    def settles(self) -> bool:
        """Frames come often enough that something will be settled."""
        return self._interval <= self._video.slowest

    def push(self, result: FrameResult, image: NDArray[np.uint8], seconds: float) -> FrameResult:
        """One more frame, people numbered, key points steady, ``settled`` what they do by now.

        ``settled`` stays None where frames come too seldom: "unknown" would say more than is known.

        Parameters
        ----------
        image : (H, W, 3) BGR.
        seconds : when it was taken, on any clock that does not stop.
        """
        self._pace(seconds)
        result = self._video.push(result, image)
        if not self.settles:
            return result
        people = tuple(
            person.model_copy(update={"settled": self._video.label(person.track_id)})
            for person in result.people
        )
        return result.model_copy(update={"people": people})

    def now(self, result: FrameResult) -> dict[int, dict[str, float]]:
        """Of each numbered person of a frame the actions' probabilities, settled or not."""
        numbers = [person.track_id for person in result.people if person.track_id is not None]
        return {number: self._video.now(number) for number in numbers}

    def _pace(self, seconds: float) -> None:
        """Tell the tracker how fast frames come, and of a break; a slide show has none."""
        last, self._last = self._last, seconds
        if last is None:
            return
        gap = seconds - last
        if self._interval and gap > max(self._video.lost, 3 * self._interval):
            self._tracker.forget()
            return
        self._interval += (0.3 if self._interval else 1.0) * (gap - self._interval)
        self._tracker.fps = 1 / max(self._interval, 0.01)


def sequence_network(
    recognizer: Recognizer, chosen: str | Path | SequenceModel | bool | None
) -> SequenceModel | None:
    """The network that ``sequence`` of `VideoRecognizer` means, loaded.

    Raises
    ------
    UnknownNameError, WeightsError : no such network, or not one for videos.
    """
    if chosen is False:
        return None
    if chosen is None or isinstance(chosen, (str, Path)):
        return action.load_sequence(chosen, recognizer.threads, beside=recognizer.action_model)
    if isinstance(chosen, action.SequenceModel):
        return chosen
    raise ValueError(f"sequence is a name, a file, a SequenceModel or False: {chosen!r}")


def with_timeline(result: FrameResult, timeline: VideoTimeline, seconds: float) -> FrameResult:
    """A frame's result with the timeline's actions in place of the frame's own, to draw.

    People without a number keep their own.
    """
    known = {person.track_id: person for person in timeline.people}
    people = []
    for person in result.people:
        track = None if person.track_id is None else known.get(person.track_id)
        if track is not None:
            segment = track.at(seconds)
            actions = (
                () if segment is None
                else (Action(label=segment.label, probability=segment.confidence),)
            )  # fmt: skip
            name = UNKNOWN if segment is None else segment.label
            person = person.model_copy(update={"action": name, "actions": actions})
        people.append(person)
    return result.model_copy(update={"people": tuple(people)})
