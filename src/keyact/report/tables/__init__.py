"""The tables of a report, a function each: from one result to rows that are ready to show."""

from __future__ import annotations

from collections.abc import Callable

from keyact.report.tables import data, judged, keypoints, time
from keyact.report.tables.base import Table

__all__ = ["TABLES", "Table"]

TABLES: dict[str, tuple[str, Callable[..., Table]]] = {
    "metrics": ("evaluation", judged.metrics),
    "classes": ("evaluation", judged.classes),
    "subgroups": ("evaluation", judged.subgroups),
    "tests": ("evaluation", judged.tests),
    "mistaken": ("evaluation", judged.mistaken),
    "confidence": ("evaluation", judged.confidence),
    "comparison": ("comparison", judged.comparison),
    "robustness": ("robustness", judged.robustness),
    "counts": ("check", data.counts),
    "faults": ("check", data.faults),
    "split-figures": ("figures", judged.split_figures),
    "sequence": ("sequence", judged.of_sequences),
    "folds": ("folds", keypoints.folds),
    "tracking": ("tracking", data.tracking),
    "val-figures": ("run", judged.val_figures),
    "pose": ("pose", keypoints.distilled),
    "people": ("people", keypoints.distilled),
    "levers": ("levers", keypoints.levers),
    "backends": ("backends", keypoints.backends),
    "ablation": ("ablation", keypoints.ablation),
    "models": ("models", time.models),
    "together": ("together", time.together),
    "trees": ("trees", time.trees),
    "variants": ("variants", time.variants),
    "actions": ("actions", time.actions),
    "noise": ("noise", time.noise),
    "early": ("early", time.early),
    "costs": ("costs", data.costs),
    "published": ("published", data.published),
    "environment": ("environment", data.environment),
}
"""Name -> the kind of result it is made of, and what makes it."""
