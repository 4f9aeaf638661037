"""The models of a server, loaded once, and what its requests share."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact import action, detect, pose, weights
from keyact.action.base import ActionModel
from keyact.backends import find_backend
from keyact.detect.base import Detector
from keyact.detect.onnx_detector import OnnxDetector
from keyact.errors import UnknownNameError
from keyact.pose.alphapose import AlphaPose
from keyact.pose.base import PoseEstimator
from keyact.pose.onnx_pose import OnnxPose
from keyact.recognizer import ALL, Recognizer
from keyact.results import FrameResult
from keyact.serve.batching import SharedRuns
from keyact.serve.metrics import Metrics
from keyact.serve.settings import ServeSettings
from keyact.serve.work import Places, WorkQueue
from keyact.track import ByteTrack


@dataclass(frozen=True)
class Choice:
    """What a client may choose, by name, the default first."""

    models: tuple[str, ...]
    poses: tuple[str, ...]


class Service:
    """Loads the models and recognises photos with them.

    Parameters
    ----------
    settings : names the models that clients may choose among.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.draining = False
        self.started = time.time()
        self.requests = Places(settings.requests, "requests")
        self.clips = Places(settings.max_clips, "clips or explanations")
        self.streams = Places(settings.max_streams, "streams")
        self._models: dict[str, ActionModel] = {}
        self._poses: dict[str, PoseEstimator] = {}
        self._detector: Detector | None = None
        self._sequences: dict[str, action.SequenceModel | None] = {}  # by action model
        self._pairs: dict[tuple[str, str], Recognizer] = {}
        self._loading = threading.Lock()
        self._loaded = False
        self._work: WorkQueue | None = None

    @property
    def work(self) -> WorkQueue:
        """The queue; made in the event loop that asks first."""
        if self._work is None:
            self._work = WorkQueue(self.settings.workers, self.settings.queue)
        return self._work

    @property
    def ready(self) -> bool:
        """Models are loaded, and new work is accepted."""
        return self._loaded and not self.draining

    @property
    def choice(self) -> Choice:
        """What clients may choose; after `load`."""
        return Choice(tuple(self._models), tuple(self._poses))

    def load(self) -> None:
        """Load and run every model once.

        Raises
        ------
        UnknownNameError, WeightsError, KeyactError : a model cannot be had.
        """
        with self._loading:
            if self._loaded:
                return
            settings = self.settings
            self._detector = self._load_detector(settings.detector)
            for name in settings.poses:
                estimator = self._load_pose(name)
                self._poses[estimator.name] = estimator
            for name in settings.models:
                model = action.load(name, threads=settings.threads)
                self._models[model.name] = model
                self._sequences[model.name] = action.load_sequence(
                    settings.sequence, settings.threads, model
                )
            grey = np.full((64, 64, 3), 128, np.uint8)
            for model in self._models.values():
                model(grey, np.array([[8, 8, 56, 56]], np.float32), np.zeros((1, 17, 3)))
            self._detector(grey)
            for estimator in self._poses.values():
                estimator(grey, np.array([[8, 8, 56, 56]], np.float32))
            self._loaded = True

    def load_rest(self) -> None:
        """What only clips and streams need, so that their first frame does not wait for it."""
        ByteTrack()(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        for network in filter(None, self._sequences.values()):
            network(np.zeros((1, *network.features.shape), np.float32))

    def recognizer(self, model: str | None = None, pose: str | None = None) -> Recognizer:
        """For the chosen networks; the default ones when not given.

        Raises
        ------
        UnknownNameError : not among those that the operator allowed.
        """
        choice = self.choice
        model = choice.models[0] if model is None else model
        pose = choice.poses[0] if pose is None else pose
        if model not in self._models:
            raise UnknownNameError("model", model, choice.models)
        if pose not in self._poses:
            raise UnknownNameError("pose backend", pose, choice.poses)
        pair = (model, pose)
        if pair not in self._pairs:
            assert self._detector is not None
            self._pairs[pair] = Recognizer(
                self._models[model],
                self._poses[pose],
                self._detector,
                threads=self.settings.threads,
                max_people=self.settings.max_people,
                top_k=ALL,  # answers are cut to what is asked for
            )
        return self._pairs[pair]

    def layout(self, pose: str) -> str:
        """Name of the skeleton layout of a pose backend."""
        return self._poses[pose].layout

    def sequence(self, recognizer: Recognizer) -> action.SequenceModel | None:
        """The network that looks at clips and streams beside a recogniser's action model."""
        return self._sequences[recognizer.action_model.name]

    async def recognize(
        self,
        recognizer: Recognizer,
        image: NDArray[np.uint8],
        *,
        timeout: float | None = None,
        patient: bool = False,
        **about: Any,
    ) -> FrameResult:
        """One picture through the queue; ``about`` is what `Recognizer` copies into the result.

        Raises
        ------
        BusyError, LateError : see `WorkQueue.run`.
        """
        result = await self.work.run(
            partial(recognizer, image, **about),
            timeout=self.settings.timeout if timeout is None else timeout,
            patient=patient,
        )
        self.metrics.seen(result)
        return result

    def drain(self) -> None:
        """Accept nothing new."""
        self.draining = True

    async def close(self) -> None:
        """Wait for the work in progress."""
        self.drain()
        if self._work is not None:
            await asyncio.to_thread(self._work.close)

    def _shared(self, kind: str, entry: weights.WeightEntry) -> SharedRuns:
        settings = self.settings
        return SharedRuns(
            entry.path,
            settings.threads,
            entry.sha256,
            runs=max(1, (os.cpu_count() or 1) // settings.threads),
            rows=settings.batch,
            observe=self.metrics.rows.labels(kind).observe,
        )

    def _load_detector(self, name: str) -> Detector:
        if find_backend("detector", name, detect.BACKENDS) is not None:
            return detect.load(name, threads=self.settings.threads)
        entry = weights.resolve("detector", name, also=detect.BACKENDS)
        return OnnxDetector(self._shared("detector", entry), entry.name)

    def _load_pose(self, name: str) -> PoseEstimator:
        if find_backend("pose backend", name, pose.BACKENDS) is not None:
            return pose.load(name, threads=self.settings.threads)
        entry = weights.resolve("pose", name, also=pose.BACKENDS)
        network = self._shared("pose", entry)
        if network.meta.get("family") == "alphapose":
            return AlphaPose(network, entry.name)
        return OnnxPose(network, entry.name)


def with_decoding(result: FrameResult, milliseconds: float) -> FrameResult:
    """The result with the time that decoding took before the recogniser had the photo."""
    timings = dict(result.timings_ms)
    for stage in ("decode", "total"):
        timings[stage] = round(timings[stage] + milliseconds, 2)
    return result.model_copy(update={"timings_ms": timings})
