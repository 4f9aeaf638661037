"""Recordings as training clips: cleaned once, cut, changed and encoded for every batch anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError, KeyactError
from keyact.sequences import Augment, Features, Glances
from keyact.sequences import Sequence as Recording
from keyact.sequences.preprocess import Points
from keyact.sequences.views import Views
from keyact.train.config import TrainConfig
from keyact.train.feed import Batch
from keyact.train.mixing import mix
from keyact.train.objective import class_weights, one_hot

if TYPE_CHECKING:
    import keras

Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class ClipSet:
    """N labelled recordings, cleaned.

    Attributes
    ----------
    points, scores : per recording (M, L, V, D) and (M, L, V).
    labels : (N,) label indices.
    names : the labels.
    features : what a network will see of them.
    glances : at the first person of each; not looked at where the features have none.
    """

    points: tuple[Points, ...]
    scores: tuple[Points, ...]
    labels: NDArray[np.intp]
    names: tuple[str, ...]
    features: Features
    glances: tuple[Glances | None, ...]

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of(
        cls, recordings: Sequence[Recording], names: Sequence[str], features: Features
    ) -> ClipSet:
        """Recordings whose labels are all among ``names``."""
        cleaned = [features.clean(recording) for recording in recordings]
        places = {name: place for place, name in enumerate(names)}
        return cls(
            tuple(points for points, _ in cleaned),
            tuple(scores for _, scores in cleaned),
            np.array([places[str(recording.label)] for recording in recordings], np.intp),
            tuple(names),
            features,
            tuple(recording.glances for recording in recordings),
        )

    def views(self, views: Views) -> list[Points]:
        """Per recording the inputs (S, T, V, C) of its looks."""
        return [
            views(points, scores, self.features, glances)
            for points, scores, glances in zip(self.points, self.scores, self.glances, strict=True)
        ]


class ClipBatches:
    """Changed clips; see `keyact.train.feed.BatchSource`.

    Parameters
    ----------
    taught : (N, C) a teacher's probabilities; None without a teacher.
    """

    def __init__(
        self,
        clips: ClipSet,
        augment: Augment,
        config: TrainConfig,
        taught: NDArray[np.float32] | None = None,
    ) -> None:
        self.classes = len(clips.names)
        self._clips, self._augment, self._config, self._taught = clips, augment, config, taught
        self._repeats = max(1, round(config.sequence.samples / len(clips)))
        self._batch = min(config.batch, len(clips))
        self.steps = len(clips) * self._repeats // self._batch
        self._weights = class_weights(config, clips.labels, clips.names)

    def batch(self, epoch: int, step: int) -> Batch:
        clips, features = self._clips, self._clips.features
        chosen = self._order(epoch)[step * self._batch : (step + 1) * self._batch]
        rng = np.random.default_rng([self._config.seed, epoch, step])
        cuts, seen = [], []
        for i in chosen.tolist():
            span = self._augment.span(clips.points[i].shape[1], rng)
            cuts.append(features.cut(clips.points[i], clips.scores[i], span))
            seen.append(features.glanced(clips.glances[i], span))
        placed = features.place(np.stack([points for points, _ in cuts]))
        sure = np.stack([scores for _, scores in cuts])
        encoded = features.encode(*self._augment(placed, sure, features.skeleton, rng))
        if features.glances:
            blind = rng.random(len(seen)) < self._config.sequence.glance_drop
            encoded = features.join(encoded, np.stack(seen) * ~blind[:, None, None])
        inputs = {"x": encoded}
        targets = one_hot(clips.labels[chosen], self.classes)
        if self._taught is not None:
            targets = np.concatenate([targets, self._taught[chosen]], 1)
        mixed, targets = mix(inputs, targets, self._config.mixup, 0.0, rng)
        return Batch(mixed, targets, self._weights[clips.labels[chosen]])

    def _order(self, epoch: int) -> NDArray[np.intp]:
        rng = np.random.default_rng([self._config.seed, epoch])
        return np.concatenate([rng.permutation(len(self._clips)) for _ in range(self._repeats)])


def usable(recordings: Sequence[Recording], say: Report) -> list[Recording]:
    """Those with a label and a person; what is left out is said.

    Raises
    ------
    KeyactError : none is left, or there are fewer than two labels.
    """
    kept = [r for r in recordings if r.label is not None and (r.scores > 0).any()]
    if len(kept) < len(recordings):
        say(f"left out: {len(recordings) - len(kept)} recordings without a label or a person")
    labels = {r.label for r in kept}
    if len(labels) < 2:
        raise KeyactError(
            f"{len(kept)} recordings with {len(labels)} labels: there is nothing to tell apart; "
            "labels come from folders (label/file), a manifest.csv or the files themselves"
        )
    return kept


def with_val(
    recordings: Sequence[Recording], share: float, seed: int
) -> tuple[list[Recording], list[Recording], bool]:
    """What to train on, what to choose on, and whether the latter was held out here.

    Recordings of the split ``test`` are in neither. Groups stay whole, but for recordings of a
    label that no other group has: they stay in training.

    Raises
    ------
    KeyactError : too few recordings to hold any out.
    """
    train = [r for r in recordings if r.split != "test" and r.split != "val"]
    val = [r for r in recordings if r.split == "val"]
    if train and val:
        return train, val, False
    from sklearn.model_selection import StratifiedGroupKFold

    train = train or val
    if not train:
        raise KeyactError("every recording is of the split test: there is nothing to train on")
    labels = np.array([str(r.label) for r in train])
    groups = np.array([r.group or f"\0{i}" for i, r in enumerate(train)])
    most = max(Counter(labels.tolist()).values())
    folds = min(max(2, round(1 / share)), len(set(groups.tolist())), most)
    if folds < 2:
        raise KeyactError(
            "all recordings are of one group, or there is one of each label: mark some as split val"
        )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label with fewer recordings than folds
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        parts = list(splitter.split(labels, labels, groups))

    def unlearnt(part: tuple[NDArray[np.intp], NDArray[np.intp]]) -> tuple[int, float]:
        left = set(labels.tolist()) - set(labels[part[0]].tolist())
        return len(left), abs(len(part[1]) / len(labels) - share)

    rest, held = min(parts, key=unlearnt)
    learnt, kept = set(labels[rest].tolist()), set(rest.tolist())
    stay = [i for i in range(len(train)) if i in kept or labels[i] not in learnt]
    return [train[i] for i in stay], [train[i] for i in held if labels[i] in learnt], True


def run_over(net: keras.Model, looks: Sequence[Points], batch: int = 64) -> list[Points]:
    """Logits (S, ..., C) of each recording's looks (S, T, V, C), in batches of one size."""
    flat = np.concatenate(looks)
    rows = []
    for start in range(0, len(flat), batch):
        part = flat[start : start + batch]
        lack = batch - len(part)
        padded = np.concatenate([part, np.repeat(part[-1:], lack, 0)]) if lack else part
        rows.append(np.asarray(net.predict_on_batch(padded))[: len(part)])
    logits: NDArray[Any] = np.concatenate(rows).astype(np.float32)
    return np.split(logits, np.cumsum([len(look) for look in looks])[:-1])


def checked_names(recordings: Sequence[Recording], names: Sequence[str]) -> list[Recording]:
    """Recordings, all of which have a label among ``names``.

    Raises
    ------
    InputError : one has not.
    """
    strange = sorted({str(r.label) for r in recordings} - set(names))
    if strange:
        raise InputError(f"no recording to learn {', '.join(strange[:5])} from: val alone has any")
    return list(recordings)
