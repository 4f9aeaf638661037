"""Tables of the key points: levers, backends, teachers, and what they add to the action."""

from __future__ import annotations

from collections.abc import Callable

from keyact.report.numbers import fixed, percent, probability, whole
from keyact.report.sources import Result
from keyact.report.tables.base import (
    Table,
    cell,
    flattened,
    grouped,
    if_there,
    share_of,
    span,
    spread,
    usual,
)


def levers(result: Result) -> Table:
    columns: dict[str, Callable[[dict[str, str]], object]] = {
        "lever": lambda r: f"{r['lever']}: {r['value']}",
        "OKS, true boxes": lambda r: if_there(fixed, r, "oks_true_boxes"),
        "OKS, own boxes": lambda r: if_there(fixed, r, "oks_detector"),
        "OKS with teacher": lambda r: if_there(fixed, r, "teacher_oks"),
        "PCK with teacher": lambda r: if_there(fixed, r, "teacher_pck"),
        "action top-1": lambda r: if_there(percent, r, "top1"),
        "gained": lambda r: if_there(whole, r, "gained"),
        "lost": lambda r: if_there(whole, r, "lost"),
        "ms": lambda r: if_there(fixed, r, "ms_per_person"),
        "detector ms": lambda r: if_there(fixed, r, "ms_per_photo_detector"),
        "MB": lambda r: if_there(fixed, r, "mb"),
    }
    rows = [tuple(make(row) for make in columns.values()) for row in result.data]
    people, crops, photos = (usual(result.data, name) for name in ("people", "crops", "photos"))
    return Table(
        f"Levers of the key points, each turned alone: {people} people with human labels, "
        f"{crops} crops against the teacher, the action on {photos} val photos; ms of the pose "
        "stage for one person, of the detector for a photo",
        tuple(columns),
        rows,
    )


def backends(result: Result) -> Table:
    columns: dict[str, Callable[[dict[str, str]], object]] = {
        "backend": lambda r: r["pose"].partition(":")[0],
        "boxes": lambda r: r["detector"],
        "AP": lambda r: if_there(percent, r, "ap"),
        "AP50": lambda r: if_there(percent, r, "ap50"),
        "OKS": lambda r: if_there(fixed, r, "oks"),
        "PCK@0.1": lambda r: if_there(percent, r, "pck@0.1"),
        "PCK@0.2": lambda r: if_there(percent, r, "pck@0.2"),
        "ms per person": lambda r: if_there(fixed, r, "ms_per_person"),
    }
    rows = [tuple(make(row) for make in columns.values()) for row in result.data]
    photos, people = (usual(result.data, name) for name in ("photos", "people"))
    caption = f"Pose backends on {people} annotated people in {photos} photos"
    return Table(caption, tuple(columns), rows, ("boxes",))


def ablation(result: Result) -> Table:
    rows = [
        (
            row["branches"],
            row.get("seeds", ""),
            if_there(percent, row, "val_top1_mean"),
            spread(row, "test_top1_mean", "test_top1_sd"),
            if_there(whole, row, "gained_vs_photo_person"),
            if_there(whole, row, "lost_vs_photo_person"),
            if_there(probability, row, "mcnemar_p"),
        )
        for row in result.data
    ]
    head = ("branches", "seeds", "val top-1", "test top-1", "gained", "lost", "p")
    caption = "What each branch adds: mean ± deviation over the seeds; gained, lost and p against "
    return Table(caption + "photo and person, by the majority of the seeds", head, rows)


def folds(result: Result) -> Table:
    rows = []
    for model, group in grouped(result, "model"):
        parts = [row for row in group if row["fold"] != "all"]
        (every,) = [row for row in group if row["fold"] == "all"] or [{}]
        rows.append(
            (
                model, if_there(whole, every, "photos"), share_of(parts, "top1"),
                if_there(percent, every, "top1"),
                span(every["top1_low"], every["top1_high"]) if every.get("top1_low") else "",
                if_there(percent, every, "macro_f1"), if_there(percent, every, "ece"),
                if_there(probability, every, "mcnemar_p"),
            )
        )  # fmt: skip
    head = ("model", "photos", "top-1 of a fold", "top-1", "interval", "macro-F1", "ECE", "p")
    caption = "Cross-validation: mean ± deviation over the folds, and all photos "
    return Table(f"{caption}together; p (McNemar) against the first", head, rows)


def distilled(result: Result) -> Table:
    """Figures of a network that learnt from a teacher: nested names, flattened."""
    rows = [
        (name, fixed(value) if isinstance(value, float) else cell(value))
        for name, value in flattened(result.data, "")
        if "per_joint" not in name
    ]
    return Table("Agreement with the teacher", ("figure", "value"), rows)
