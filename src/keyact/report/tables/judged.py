"""Tables of models that were judged on photos or recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keyact.report.numbers import fixed, millions, percent, probability, whole
from keyact.report.sources import Result
from keyact.report.tables.base import METRICS, Table, cell, flattened, if_there, span, spoken


def metrics(result: Result) -> Table:
    found = _evaluation(result)
    rows: list[tuple[object, ...]] = [
        (
            METRICS.get(name, name),
            percent(figure.value),
            span(figure.low, figure.high) if found.resamples else "",
        )
        for name, figure in found.metrics.items()
    ]
    if found.named.accuracy is not None and found.named.threshold > 0:
        rows.append(("gets a name", percent(found.named.share), ""))
        rows.append(("right of those", percent(found.named.accuracy), ""))
    for share, value in found.accuracy_at_coverage.items():
        rows.append((f"right among the surest {share}", percent(value), ""))
    drawn = "whole groups" if found.grouped else "rows"
    caption = f"{_subject(found)}, {found.rows:,} rows"
    if found.resamples:
        caption += (
            f"; {found.level:.0%} intervals by bootstrap over {drawn}, {found.resamples:,} draws"
        )
    return Table(caption, ("figure", "value", "interval"), rows)


def classes(result: Result) -> Table:
    found = _evaluation(result)
    rows = [
        (spoken(row.label), whole(row.rows), whole(row.predicted),
         *map(percent, (row.precision, row.recall, row.f1)))
        for row in sorted(found.per_class, key=lambda row: row.f1)
    ]  # fmt: skip
    head = ("action", "rows", "called so", "precision", "recall", "F1")
    return Table(f"{_subject(found)}: each action, the hardest first", head, rows)


def subgroups(result: Result) -> Table:
    from keyact.evaluate.subgroups import EXPLAINED

    found = _evaluation(result)
    rows = [
        (EXPLAINED.get(name, name), part.name, whole(part.rows), percent(part.accuracy),
         span(part.low, part.high))
        for name, parts in found.subgroups.items()
        for part in parts
    ]  # fmt: skip
    head = ("by", "part", "rows", "top-1", "Wilson's interval")
    return Table(f"{_subject(found)}: parts of the data", head, rows, ("part",))


def tests(result: Result) -> Table:
    found = _evaluation(result)
    rows = [
        (one.other, percent(one.other_top1), whole(one.gained), whole(one.lost),
         probability(one.p))
        for one in found.comparisons
    ]  # fmt: skip
    head = ("against", "its top-1", "right only here", "right only there", "p")
    return Table(f"{_subject(found)}: exact McNemar tests on the same rows", head, rows)


def mistaken(result: Result) -> Table:
    found = _evaluation(result)
    pairs = sorted(
        (-count, found.labels[row], found.labels[column])
        for row, counts in enumerate(found.confusion)
        for column, count in enumerate(counts)
        if row != column and count
    )
    rows = [(spoken(true), spoken(called), whole(-count)) for count, true, called in pairs[:12]]
    caption = f"{_subject(found)}: what is most often taken for what"
    return Table(caption, ("true action", "called", "rows"), rows, ("called",))


def confidence(result: Result) -> Table:
    """The reliability diagram in figures."""
    found = _evaluation(result)
    rows = [
        (span(b.low, b.high), whole(b.rows), percent(b.confidence), percent(b.accuracy))
        for b in found.reliability
    ]
    head = ("confidence", "rows", "mean confidence", "accuracy")
    return Table(f"{_subject(found)}: how sure and how often right", head, rows)


def split_figures(result: Result) -> Table:
    """Figures of the photo model on val and test."""
    parts = [part for part in ("val", "test") if isinstance(result.data.get(part), dict)]
    names = {
        "photos": "photos", **METRICS, "photos_with_person": "photos with somebody in them",
        "top1_with_person": "top-1 with somebody", "top1_without_person": "top-1 with nobody",
        "named_share": "gets a name", "named_accuracy": "right of those",
    }  # fmt: skip
    rows = [
        (spoken, *(cell(result.data[part].get(name)) for part in parts))
        for name, spoken in names.items()
        if any(name in result.data[part] for part in parts)
    ]
    for share in result.data[parts[0]].get("accuracy_at_coverage", {}) if parts else ():
        of = [result.data[part].get("accuracy_at_coverage", {}).get(share) for part in parts]
        rows.append((f"right among the surest {share}", *map(cell, of)))
    return Table("The photo model on both splits", ("figure", *parts), rows)


def of_sequences(result: Result) -> Table:
    """Figures of the shipped sequence network on what was held out, and on test."""
    parts = ("held out of train", "test")
    rows = [
        (
            METRICS.get(name, spoken(name)),
            *(cell(result.data[part].get(name), name) for part in parts),
        )
        for name in dict.fromkeys((*result.data[parts[0]], *result.data[parts[1]]))
        if not isinstance(result.data[parts[1]].get(name), dict)
    ]
    return Table("The sequence network that is shipped", ("figure", *parts), rows)


def val_figures(result: Result) -> Table:
    """What a run wrote of itself at its end."""
    found = result.data.get("metrics", {})
    rows = [
        (METRICS.get(name, spoken(name)), cell(value, name)) for name, value in flattened(found, "")
    ]
    return Table("The run on what was held out of its training", ("figure", "value"), rows)


def comparison(result: Result) -> Table:
    columns: dict[str, Callable[[dict[str, str]], object]] = {
        "model": lambda r: r["model"],
        "top-1": lambda r: percent(r["top1"]),
        "interval": lambda r: span(r["top1_low"], r["top1_high"]),
        "macro-F1": lambda r: if_there(percent, r, "macro_f1"),
        "ECE": lambda r: if_there(percent, r, "ece"),
        "gained / lost": lambda r: f"{r['gained']} / {r['lost']}" if r.get("p_vs_first") else None,
        "p": lambda r: if_there(probability, r, "p_vs_first"),
        "corrupted": lambda r: if_there(percent, r, "corruption_accuracy"),
        "mCE": lambda r: if_there(fixed, r, "mce_vs_first"),
        "parameters": lambda r: millions(r["parameters"]),
        "MACs": lambda r: millions(r["macs"], 0),
        "ms": lambda r: fixed(r["ms_1_p50"], 1),
        "ms, whole photo": lambda r: if_there(fixed, r, "photo_ms_1_p50"),
        "MB of memory": lambda r: if_there(whole, r, "memory_mb"),
    }
    rows = [tuple(make(row) for make in columns.values()) for row in result.data]
    count = whole(result.data[0].get("rows") or 0) if result.data else ""
    return Table(
        f"Models on the same {count} rows; gained, lost, p (exact McNemar) and mCE against the "
        "first; ms on one thread",
        tuple(columns),
        rows,
    )


def robustness(result: Result) -> Table:
    from keyact.evaluate.robustness_report import Robustness

    found = Robustness.load(result.path)
    severities = sorted({row.severity for row in found.conditions})
    rows: list[tuple[object, ...]] = []
    for name in dict.fromkeys(row.perturbation for row in found.conditions):
        of = {row.severity: row.top1 for row in found.conditions if row.perturbation == name}
        mean = sum(of.values()) / len(of)
        rows.append((spoken(name), *(percent(of[s]) if s in of else "" for s in severities),
                     percent(mean)))  # fmt: skip
    summary = found.summary()
    for family in ("corruption", "occlusion", "keypoints"):
        value = summary[f"{family}_accuracy"]
        if value is not None:
            rows.append((f"all of {spoken(family)}", *("" for _ in severities), percent(value)))
    head = ("perturbation", *(f"severity {s}" for s in severities), "mean")
    people = "people of the clean photo" if found.keep_keypoints else "people found anew"
    return Table(
        f"{found.model} on {found.dataset}, {found.clean.photos:,} photos, {people}: top-1, "
        f"clean {percent(found.clean.top1)}",
        head,
        rows,
    )


def _evaluation(result: Result) -> Any:
    from keyact.evaluate.report import Evaluation

    return Evaluation.load(result.path)


def _subject(found: Any) -> str:
    return f"{found.model} on {' '.join(filter(None, (found.dataset, found.split)))}"
