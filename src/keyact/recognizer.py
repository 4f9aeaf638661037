"""From a photo to what each person in it is doing: the stages in their order.

decode → detect → pose → pose NMS → action and posture. Every stage is replaceable by name, by
path or by an object with the same call.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from keyact import action, detect, pose
from keyact.action.posture import posture
from keyact.detect.base import GIVEN
from keyact.errors import InputError
from keyact.layouts import convert
from keyact.media.image import ImageSource, load_image, source_name
from keyact.pose.nms import nms_for
from keyact.pose.precomputed import GivenPeople
from keyact.pose.score import pose_score
from keyact.prefetch import prefetch
from keyact.results import UNKNOWN, Action, FrameResult, Person

if TYPE_CHECKING:
    from keyact.action.base import ActionModel
    from keyact.detect.base import Detector
    from keyact.pose.base import PoseEstimator

MAX_FOUND = 50
"""People of a photo that a detector finds, unless it is said otherwise."""

ALL = 100_000
"""As ``top_k``: all actions that the model knows."""

Channels: TypeAlias = Literal["bgr", "rgb"]
OnError: TypeAlias = 'Literal["raise", "skip"] | Callable[[str, InputError], None]'


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture to recognise, with what is known of its origin.

    Parameters
    ----------
    image : str, Path, bytes, ndarray or PIL image
        Whatever :func:`keyact.load_image` reads.
    source : str, optional
        Name for results and messages; by default the path, or ``<ndarray>``,
        ``<Image>`` or ``<bytes>``.
    index : int
        Number of the frame within its source.
    timestamp : float, optional
        Seconds since the source began.

    Raises
    ------
    ValueError
        The index is negative or the timestamp no finite number.
    """

    image: ImageSource
    source: str | None = None
    index: int = 0
    timestamp: float | None = None

    def __post_init__(self) -> None:
        if self.index < 0:
            raise ValueError(f"index must be 0 or more, not {self.index}")
        if self.timestamp is not None and not math.isfinite(self.timestamp):
            raise ValueError(f"timestamp must be finite, not {self.timestamp}")

    @property
    def name(self) -> str:
        """The given source, or what the image itself can be called."""
        return source_name(self.image) if self.source is None else self.source


class Recognizer:
    """Name what each person in a photo is doing.

    Nothing is loaded until the first photo (or :meth:`warm_up`). One object may be used from
    several threads.

    Parameters
    ----------
    model, pose, detector : str, Path or object
        A bundled or user model's name, the path of an ``.onnx`` file, or an object that follows
        :class:`keyact.action.base.ActionModel`, :class:`keyact.pose.base.PoseEstimator` or
        :class:`keyact.detect.base.Detector`. ``keyact models`` lists the names.
    threads : int, optional
        CPU threads per network; ONNX Runtime's choice when not given.
    min_confidence : float, optional
        Probability in [0, 1] below which an action is called ``"unknown"``; the threshold that
        the action model carries when not given.
    max_people : int, optional
        People per photo, best boxes first. Bounds time and memory on crowds. When not given, 50,
        and all that the file of a ``boxes`` or ``precomputed`` detector names.
    top_k : int
        How many ranked actions each person and the photo get.
    flip_test : bool
        Average the key points over the photo and its mirror image: slower, a little better.

    Raises
    ------
    ValueError
        An option is out of its range.
    UnknownNameError
        On first use: no model of that name.
    WeightsError
        On first use: a weight file is missing, changed or not a model of that kind.

    Examples
    --------
    >>> recognizer = Recognizer(threads=2)  # doctest: +SKIP
    >>> for person in recognizer("photo.jpg").people:  # doctest: +SKIP
    ...     print(person.action, person.posture)
    """

    def __init__(
        self,
        model: str | Path | ActionModel = "keypoint-fusion",
        pose: str | Path | PoseEstimator = "fastpose-m",
        detector: str | Path | Detector = "persondet-m",
        *,
        threads: int | None = None,
        min_confidence: float | None = None,
        max_people: int | None = None,
        top_k: int = 5,
        flip_test: bool = False,
    ) -> None:
        for option, value in (("threads", threads), ("max_people", max_people), ("top_k", top_k)):
            if value is not None and value < 1:
                raise ValueError(f"{option} must be at least 1, not {value}")
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence must lie between 0 and 1, not {min_confidence}")
        self._chosen = (model, pose, detector)
        self._lock = threading.Lock()
        self.threads = threads
        self.min_confidence = min_confidence
        self.max_people = max_people
        self.top_k = top_k
        self.flip_test = flip_test

    def __call__(
        self,
        image: ImageSource,
        *,
        source: str | None = None,
        index: int = 0,
        timestamp: float | None = None,
        channels: Channels = "bgr",
    ) -> FrameResult:
        """Recognise one photo.

        Parameters
        ----------
        image : str, Path, bytes, ndarray or PIL image
            A path, an encoded picture, pixels (H, W), (H, W, 3) or (H, W, 4), or a PIL image.
        source, index, timestamp
            Copied into the result, see :class:`Frame`.
        channels : {"bgr", "rgb"}
            Order of an ndarray's channels. Files, bytes and PIL images know their own.

        Returns
        -------
        FrameResult
            Boxes and key points in pixels of the upright photo. Without a person,
            ``image_only`` is true and only ``image_actions`` say something.

        Raises
        ------
        InputError
            The image cannot be read; the message names it.
        ValueError
            As :class:`Frame`, or no such ``channels``.
        """
        frame = Frame(image, source, index, timestamp)
        start = time.perf_counter()
        pixels = load_image(image, channels=channels)
        return self._recognize(frame, pixels, _milliseconds(start))

    def recognize_many(
        self,
        images: Iterable[ImageSource | Frame],
        *,
        channels: Channels = "bgr",
        ahead: int = 4,
        on_error: OnError = "raise",
    ) -> Iterator[FrameResult]:
        """Recognise many photos in their order, decoding the next ones meanwhile.

        Parameters
        ----------
        images : iterable
            Photos as for a single call, or :class:`Frame` objects that say where they come from.
            Consumed lazily and in a background thread, so a generator may read a video. What has
            no path gets its position as ``index``, so that results can be told apart.
        channels : {"bgr", "rgb"}
            Order of an ndarray's channels.
        ahead : int
            Decoded photos that may wait; bounds the memory.
        on_error : {"raise", "skip"} or callable
            What a photo that cannot be read does. A callable is given the source and the error,
            and the photo is left out. Errors of the iterable itself are always raised.

        Yields
        ------
        FrameResult
            One per readable photo.
        """
        for _, result in self.recognize_frames(
            images, channels=channels, ahead=ahead, on_error=on_error
        ):
            yield result

    def recognize_frames(
        self,
        images: Iterable[ImageSource | Frame],
        *,
        channels: Channels = "bgr",
        ahead: int = 4,
        on_error: OnError = "raise",
    ) -> Iterator[tuple[NDArray[np.uint8], FrameResult]]:
        """Like :meth:`recognize_many`, with the upright photo beside its result.

        Yields
        ------
        ndarray, shape (H, W, 3), uint8
            The decoded photo, BGR.
        FrameResult
            What was found in it.
        """
        if isinstance(images, (str, bytes)) or getattr(images, "ndim", 4) < 4:
            raise TypeError("images are several photos; for a single one give [photo]")
        if not callable(on_error) and on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is 'raise', 'skip' or a function, not {on_error!r}")
        for frame, pixels, decode_ms in prefetch(_decode(images, channels), ahead):
            try:
                if isinstance(pixels, InputError):
                    raise pixels
                result = self._recognize(frame, pixels, decode_ms)
            except InputError as error:  # also when given boxes or key points lack this photo
                if on_error == "raise":
                    raise
                if callable(on_error):
                    on_error(frame.name, error)
                continue
            yield pixels, result

    def warm_up(self) -> Recognizer:
        """Load every model now and return the recognizer."""
        with self._lock:
            _ = self._detector, self._pose, self._model
        return self

    def with_stages(
        self,
        model: ActionModel | None = None,
        pose: PoseEstimator | None = None,
        top_k: int | None = None,
    ) -> Recognizer:
        """A recogniser with others in place of these and the same options and networks besides."""
        self.warm_up()
        return Recognizer(
            model or self._model,
            pose or self._pose,
            self._detector,
            threads=self.threads,
            min_confidence=self.min_confidence,
            max_people=self.max_people,
            top_k=top_k or self.top_k,
            flip_test=self.flip_test,
        )

    @property
    def pose_estimator(self) -> PoseEstimator:
        """What places the key points, loaded on first use."""
        return self.warm_up()._pose

    @property
    def action_model(self) -> ActionModel:
        """What names the actions, loaded on first use."""
        return self.warm_up()._model

    @cached_property
    def _detector(self) -> Detector:
        chosen = self._chosen[2]
        if isinstance(chosen, (str, Path)):
            return detect.load(chosen, threads=self.threads)
        return chosen

    @cached_property
    def _pose(self) -> PoseEstimator:
        chosen = self._chosen[1]
        if isinstance(chosen, (str, Path)):
            return pose.load(chosen, threads=self.threads, flip_test=self.flip_test)
        return chosen

    @cached_property
    def _model(self) -> ActionModel:
        chosen = self._chosen[0]
        if isinstance(chosen, (str, Path)):
            return action.load(chosen, threads=self.threads)
        return chosen

    def _recognize(self, frame: Frame, image: NDArray[np.uint8], decode_ms: float) -> FrameResult:
        self.warm_up()
        start = time.perf_counter()
        boxes, box_scores = self._detector(image)
        most = self.max_people
        if most is None and getattr(self._detector, "name", None) not in GIVEN:
            most = MAX_FOUND
        boxes, box_scores = boxes[:most], box_scores[:most]
        detect_ms = _milliseconds(start)

        start = time.perf_counter()
        keypoints, kept, scores, tracks = self._people(frame, image, boxes, box_scores)
        boxes, box_scores = boxes[kept], box_scores[kept]
        body = convert(keypoints, self._pose.layout, "coco17")
        pose_ms = _milliseconds(start)

        start = time.perf_counter()
        people, photo = self._model(image, boxes, body)
        postures = [posture(points, box) for points, box in zip(body, boxes, strict=True)]
        action_ms = _milliseconds(start)

        image_actions = self._rank(photo)
        ranked = [self._rank(row) for row in people]
        height, width = image.shape[:2]
        return FrameResult(
            source=frame.name,
            index=frame.index,
            timestamp=frame.timestamp,
            width=width,
            height=height,
            image_action=self._name(image_actions),
            image_actions=image_actions,
            image_only=len(boxes) == 0,
            people=tuple(
                Person(
                    box=cast("tuple[float, float, float, float]", tuple(boxes[i].tolist())),
                    box_score=float(box_scores[i]),
                    score=float(scores[i]),
                    layout=self._pose.layout,
                    keypoints=keypoints[i],
                    track_id=tracks[i],
                    action=self._name(ranked[i]),
                    actions=ranked[i],
                    posture=postures[i],
                )
                for i in range(len(boxes))
            ),
            timings_ms={
                "decode": decode_ms,
                "detect": detect_ms,
                "pose": pose_ms,
                "action": action_ms,
                "total": decode_ms + detect_ms + pose_ms + action_ms,
            },
            model=self._model.name,
        )

    def _people(
        self,
        frame: Frame,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        box_scores: NDArray[np.float32],
    ) -> GivenPeople:
        """Who is in the boxes, each once; a backend of another program's people knows more of them.

        In videos a tracker numbers them.
        """
        given = getattr(self._pose, "people", None)
        if given is None:
            poses = self._pose(image, boxes)
            keypoints, kept = nms_for(self._pose)(poses, box_scores, boxes)
            scores = pose_score(keypoints, box_scores[kept]).astype(np.float64)
            return GivenPeople(keypoints, kept, scores, [None] * len(kept))
        found = cast(GivenPeople, given(image, boxes, box_scores))
        if frame.timestamp is None:
            return found
        return found._replace(track_ids=[None] * len(found.kept))

    def _rank(self, probabilities: NDArray[np.float32]) -> tuple[Action, ...]:
        best = np.argsort(-probabilities, kind="stable")[: self.top_k]
        return tuple(
            Action(label=self._model.labels[i], probability=float(probabilities[i])) for i in best
        )

    def _name(self, ranked: tuple[Action, ...]) -> str:
        threshold = self.min_confidence
        if threshold is None:
            threshold = self._model.unknown_threshold
        return ranked[0].label if ranked and ranked[0].probability >= threshold else UNKNOWN


def _decode(
    images: Iterable[ImageSource | Frame], channels: Channels
) -> Iterator[tuple[Frame, NDArray[np.uint8] | InputError, float]]:
    """Yield each frame with its pixels, or with the error, and the time both took."""
    start = time.perf_counter()
    for position, image in enumerate(images):
        if isinstance(image, Frame):
            frame = image
        else:
            frame = Frame(image, index=0 if isinstance(image, (str, Path)) else position)
        pixels: NDArray[np.uint8] | InputError
        try:
            pixels = load_image(frame.image, channels=channels)
        except InputError as error:
            pixels = error
        yield frame, pixels, _milliseconds(start)
        start = time.perf_counter()


def _milliseconds(start: float) -> float:
    return (time.perf_counter() - start) * 1000
