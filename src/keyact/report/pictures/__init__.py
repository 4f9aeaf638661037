"""The pictures of a report: drawn from results, or sheets of photos that lie beside them."""

from __future__ import annotations

from collections.abc import Callable

from keyact.report.pictures import judged, keypoints, time
from keyact.report.pictures.base import Picture
from keyact.report.sources import Result

__all__ = ["PICTURES", "Picture"]

PICTURES: dict[str, tuple[str, Callable[[Result], Picture | None]]] = {
    "confusion": ("evaluation", judged.confusion),
    "reliability": ("evaluation", judged.reliability),
    "subgroups": ("evaluation", judged.subgroups),
    "mistakes": ("evaluation", judged.mistakes),
    "hits": ("evaluation", judged.hits),
    "pareto": ("comparison", judged.pareto),
    "robustness": ("robustness", judged.robustness),
    "curves": ("run", judged.curves),
    "levers": ("levers", keypoints.levers),
    "backends": ("backends", keypoints.backends),
    "ablation": ("ablation", keypoints.ablation),
    "models": ("models", time.models),
    "variants": ("variants", time.variants),
    "actions": ("actions", time.actions),
    "noise": ("noise", time.noise),
    "early": ("early", time.early),
}
"""Name -> the kind of result it is made of, and what makes it; None where a file is absent."""
