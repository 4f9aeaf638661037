"""The result files that are known: what tells each apart, and which command makes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kind:
    """One kind of result file.

    Attributes
    ----------
    spoken : what it holds, in words.
    command : what to type to get one, with ``{stem}`` for the file's name; empty where there is
        nothing to type.
    columns, keys : that every such CSV table or JSON object has; what stands in neither is a kind
        that is told by its folder.
    without : columns that it does not have, where another kind has those and more.
    """

    spoken: str
    command: str
    columns: frozenset[str] = field(default=_NONE)
    keys: frozenset[str] = field(default=_NONE)
    without: frozenset[str] = field(default=_NONE)

    def command_for(self, name: str = "pipeline") -> str:
        """What makes the file of that name."""
        return self.command.replace("{stem}", PurePosixPath(name).stem)


def _kind(
    spoken: str, command: str, *, columns: str = "", keys: tuple[str, ...] = (), without: str = ""
) -> Kind:
    return Kind(
        spoken, command, frozenset(columns.split()), frozenset(keys), frozenset(without.split())
    )


KINDS: dict[str, Kind] = {
    "evaluation": _kind(
        "evaluation of a model",
        "keyact evaluate DATA --split test",
        keys=("schema_version", "metrics", "confusion", "per_class"),
    ),
    "robustness": _kind(
        "robustness of a model",
        "keyact robustness DATA --split test",
        keys=("keep_keypoints", "clean", "conditions"),
    ),
    "comparison": _kind(
        "comparison of models",
        "keyact compare MODEL... --data DATA --split test",
        columns="model top1 top1_low top1_high ms_1_p50 parameters macs",
    ),
    "run": _kind("training run", "keyact train DATA MODEL"),
    "environment": _kind(
        "environment of a training run",
        "keyact train DATA MODEL",
        keys=("python", "cpu", "packages", "commit"),
    ),
    "check": _kind(
        "check of a data set",
        "keyact data check DATA --json FILE",
        keys=("ok", "errors", "warnings", "counts"),
    ),
    "figures": _kind(
        "figures of the photo model",
        "python -m training.keypoint_fusion.export --report results/sports18.json",
        keys=("parameters", "steps", "val", "test"),
    ),
    "sequence": _kind(
        "figures of the sequence network",
        "python -m training.penn_tcn.export --report results/penn_tcn.json",
        keys=("parameters", "held out of train", "test"),
    ),
    "folds": _kind(
        "cross-validation on a small data set",
        "python benchmarks/folds.py ../shared/data/yoga8 --out results/yoga8.csv",
        columns="model fold photos top1 macro_f1",
    ),
    "tracking": _kind(
        "numbers of people in clips",
        "python benchmarks/tracking.py RESULT.jsonl --out results/tracking.csv",
        columns="clip measure setting matched_by switches numbers",
    ),
    "pose": _kind(
        "figures of the pose network",
        "python -m training.fastpose_m.export --report results/fastpose_m.json",
        keys=("parameters", "held-out crops"),
    ),
    "people": _kind(
        "figures of the person detector",
        "python -m training.persondet_m.export --report results/persondet_m.json",
        keys=("parameters", "held-out photos"),
    ),
    "levers": _kind(
        "levers of the key points",
        "python benchmarks/keypoints.py --threads 2",
        columns="lever value oks_true_boxes top1 gained lost",
    ),
    "backends": _kind(
        "pose backends",
        "keyact pose-eval --ann COCO.json --images DIR --pose NAME --csv FILE",
        columns="pose detector ap oks ms_per_person",
    ),
    "ablation": _kind(
        "ablation of the key points",
        "python -m training.keypoint_fusion.frozen",
        columns="branches test_top1_mean test_top1_sd",
    ),
    "models": _kind(
        "sequence networks",
        "python benchmarks/temporal.py PENN/labels --only models",
        columns="model seed parameters macs ms test_top1",
    ),
    "actions": _kind(
        "recall of each action with less of the time",
        "python benchmarks/temporal.py PENN/labels --only variants",
        columns="variant model seed action recordings recall",
    ),
    "variants": _kind(
        "what is left without some of the time",
        "python benchmarks/temporal.py PENN/labels --only variants",
        columns="variant model seed test_top1",
    ),
    "noise": _kind(
        "sequence networks on spoilt key points",
        "python benchmarks/temporal.py PENN/labels --only noise",
        columns="model seed noise amount test_top1",
    ),
    "early": _kind(
        "sequence networks on the beginning of a recording",
        "python benchmarks/temporal.py PENN/labels --only early",
        columns="model seed seen test_top1",
    ),
    "together": _kind(
        "the mean answer of several networks",
        "python benchmarks/temporal.py PENN/labels --only together",
        columns="models files test_top1",
    ),
    "trees": _kind(
        "floors without a network",
        "python benchmarks/temporal.py PENN/labels --only trees",
        columns="model seed val_top1 test_top1",
        without="parameters variant noise seen",
    ),
    "strangers": _kind(
        "how often photos of something else get a name",
        "python benchmarks/strangers.py",
        columns="set split photos named sure auroc",
    ),
    "costs": _kind(
        "costs",
        "python benchmarks/{stem}.py",
        columns="what unit value setting",
    ),
    "published": _kind(
        "published figures",
        "",  # copied from the literature
        columns="data work metric value source protocol",
    ),
}


def kind_of(data: Any) -> str:
    """The kind of a table (a list of rows) or of a JSON object; empty when it is none of them."""
    if isinstance(data, list):
        names = set(data[0]) if data and isinstance(data[0], dict) else set()
        fits = [
            name
            for name, kind in KINDS.items()
            if kind.columns and kind.columns <= names and not kind.without & names
        ]
    else:
        names = set(data) if isinstance(data, dict) else set()
        fits = [name for name, kind in KINDS.items() if kind.keys and kind.keys <= names]
    return fits[0] if fits else ""
