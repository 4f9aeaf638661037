"""Recordings as training clips: cleaned once, cut, changed and encoded for every batch anew."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact.data.base import learnt_from, split_name
from keyact.data.leakage import LeakageError
from keyact.data.store import content_hash
from keyact.errors import InputError, KeyactError
from keyact.sequences import Augment, Features, Glances
from keyact.sequences import Sequence as Recording
from keyact.sequences.base import MANIFEST, manifest_fields, read_manifest
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

    Recordings of the split ``test``, and those in no split beside others that are in one, are in
    neither; see `keyact.data.base.learnt_from`. Groups stay whole, but for recordings of a
    label that no other group has: they stay in training.

    Raises
    ------
    KeyactError : none to train on, or too few recordings to hold any out.
    """
    train = learnt_from(recordings)
    val = [r for r in recordings if split_name(r.split or "") == "val"]
    if val:
        return train, val, False
    from sklearn.model_selection import StratifiedGroupKFold

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


def refuse_torn_groups(source: str | Path) -> None:
    """Check that no group of a folder's manifest is on more than one side of the manifest's splits.

    Groups and splits from elsewhere are not looked at: protocols of benchmarks may share subjects,
    as NTU's cross-view does.

    Raises
    ------
    LeakageError : names the group and a recording of it on each side.
    """
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    rows = read_manifest(Path(source)) if Path(source).is_dir() else {}
    for path, row in rows.items():
        told = manifest_fields(row)
        if "group" in told and "split" in told:
            split = told["split"]
            sides[told["group"]].setdefault(split_name(split) or split, path)
    torn = {group: first for group, first in sides.items() if len(first) > 1}
    for group, first in torn.items():
        where = " and ".join(f"{path} in {split}" for split, path in first.items())
        more = f", and {len(torn) - 1} more groups" if len(torn) > 1 else ""
        raise LeakageError(
            f"{Path(source) / MANIFEST}: the group {group!r} is on more than one side ({where})"
            f"{more}; give all of a group the same split, or leave the column group empty where "
            "the protocol shares groups"
        )


def copies_across_sides(recordings: Sequence[Recording]) -> list[str]:
    """A line of warning when the same key points are on more than one side, or none."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for one in recordings:
        if one.split is not None and (one.scores > 0).any():
            content = content_hash(one.keypoints.tobytes() + one.scores.tobytes())
            sides[content].setdefault(one.split, one.name)
    copies = [first for first in sides.values() if len(first) > 1]
    if not copies:
        return []
    where = " and ".join(f"{name} in {split}" for split, name in copies[0].items())
    return [
        f"on two sides ({len(copies)}): copies of a recording ({where}); leave such copies out of "
        "training with a manifest.csv in their folder that lists the other files"
    ]


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
