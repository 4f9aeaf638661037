"""What is in a data set, and what is wrong with it, as one report."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keyact.data.base import SPLITS, Dataset, Sample
from keyact.data.leakage import exact_duplicates, find_leaks
from keyact.data.looks import MAX_COMPARED, Keep, Look, look, near_duplicates
from keyact.data.people import People, find_people
from keyact.data.progress import track
from keyact.errors import InputError, KeyactError

SMALL_SIDE = 96
"""Shorter side in pixels under which a photo is reported as small."""
IMBALANCE = 10.0
"""Ratio of the largest class to the smallest from which it is reported."""
FEW = 10
"""Training samples of a class under which it is reported."""

NO_SPLIT = "none"


@dataclass
class Report:
    """What `check` found.

    Attributes
    ----------
    counts : label -> split -> samples; samples of no split stand under ``"none"``.
    facts : everything that was found, as plain values for JSON; `to_json_dict` has it all.
    errors : one line each; a data set with any is not fit to learn from as it is.
    warnings : one line each: worth a look.
    looks : what was seen of each file, by path.
    people : of each photo, when they were looked for.
    """

    counts: dict[str, dict[str, int]]
    facts: dict[str, Any]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    looks: dict[Path, Look] = field(default_factory=dict, repr=False)
    people: dict[Path, People] = field(default_factory=dict, repr=False)

    def to_json_dict(self) -> dict[str, Any]:
        """The report without pictures, as values that JSON has."""
        return {
            "ok": not self.errors,
            "errors": self.errors,
            "warnings": self.warnings,
            "counts": self.counts,
            **self.facts,
        }


def check(
    dataset: Dataset,
    *,
    near: bool = True,
    people: bool = False,
    jobs: int | None = None,
    progress: bool = False,
    keep: Keep | None = None,
    **finding: Any,
) -> Report:
    """Read every photo and count, compare and list; nothing is changed.

    Parameters
    ----------
    near : look for near-duplicates too (photos only).
    people : look for people too (photos only), through the cache of `find_people`.
    jobs : files that are read at once; one per core when not given.
    progress : show bars on stderr.
    keep : is given each photo as it is read.
    finding : detector, pose and cache for `find_people`.

    Raises
    ------
    KeyactError : people were asked for in clips, or an extra is missing.
    """
    if people and dataset.kind != "photos":
        raise KeyactError(f"{dataset.name}: people are looked for in photos, not in clips")
    near = near and dataset.kind == "photos"
    paths = list(dict.fromkeys(sample.path for sample in dataset.samples))
    looking = look(paths, dataset.kind, hashes=near, jobs=jobs or os.cpu_count() or 1, keep=keep)
    looks = list(track(looking, len(paths), "reading", progress))
    report = Report(_counts(dataset), _plain_facts(dataset), looks={s.path: s for s in looks})
    _files(report, dataset, looks)
    _duplicates(report, dataset, looks, near)
    _balance(report, dataset)
    if people:
        readable = [seen.path for seen in looks if seen.error is None]
        _people(report, dataset, readable, progress, jobs, finding)
    return report


def _counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    counted = Counter((s.label, s.split or NO_SPLIT) for s in dataset.samples)
    splits = [split for split in (*SPLITS, NO_SPLIT) if any(key[1] == split for key in counted)]
    return {label: {split: counted[label, split] for split in splits} for label in dataset.labels}


def _plain_facts(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "root": str(dataset.root),
        "format": dataset.format,
        "kind": dataset.kind,
        "samples": len(dataset),
        "unlabelled": sum(sample.label is None for sample in dataset.samples),
        "groups": len({s.group for s in dataset.samples if s.group is not None}),
        "splits": dict(Counter(sample.split or NO_SPLIT for sample in dataset.samples)),
        "problems": list(dataset.problems),
    }


def _files(report: Report, dataset: Dataset, looks: Sequence[Look]) -> None:
    report.errors += dataset.problems
    unreadable = [seen for seen in looks if seen.error is not None]
    report.errors += [f"unreadable: {seen.error}" for seen in unreadable]
    read = [seen for seen in looks if seen.error is None]
    blank = [seen.path for seen in read if seen.blank]
    small = [seen.path for seen in read if min(seen.width, seen.height) < SMALL_SIDE]
    if blank:
        report.warnings.append(f"{dataset.kind} of one colour ({len(blank)}), such as {blank[0]}")
    if small:
        report.warnings.append(
            f"{dataset.kind} under {SMALL_SIDE} pixels wide or high ({len(small)}), such as "
            f"{small[0]}"
        )
    sides = np.array([(seen.width, seen.height) for seen in read]).reshape(-1, 2)
    report.facts |= {
        "unreadable": [{"path": str(s.path), "reason": s.error} for s in unreadable],
        "blank": [str(path) for path in blank],
        "small": [str(path) for path in small],
        "sizes": {
            name: {
                "min": int(values.min()),
                "median": float(np.median(values)),
                "max": int(values.max()),
            }
            for name, values in zip(("width", "height"), sides.T, strict=True)
            if len(values)
        },
    }


def _duplicates(report: Report, dataset: Dataset, looks: Sequence[Look], near: bool) -> None:
    samples: dict[Path, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        samples[sample.path].append(sample)
    copies = exact_duplicates(samples)
    report.errors += [f"on two sides: {leak}" for leak in find_leaks(dataset, copies)]
    # A photo that is listed twice with two labels is an error unless the labels are of two people.
    twice = [[path] for path, listed in samples.items() if len(listed) > 1]
    for same in [*copies, *twice]:
        listed = [sample for path in same for sample in samples[path]]
        labels = sorted({str(sample.label) for sample in listed})
        if len(labels) > 1 and len({(s.path, s.box) for s in listed}) in (1, len(same)):
            report.errors.append(
                f"one photo with the labels {' and '.join(labels)}: "
                + ", ".join(str(sample.path) for sample in listed)
            )
    extra_files = sum(len(same) - 1 for same in copies)
    if extra_files:
        report.warnings.append(
            f"{dataset.kind} that are copies of others ({extra_files}), such as {copies[0][1]} of "
            f"{copies[0][0]}"
        )
    report.facts["exact_duplicates"] = [
        [_told(sample) for path in same for sample in samples[path]] for same in copies
    ]
    report.facts["near_duplicates"] = None
    if not near:
        return
    copied = {path: i for i, same in enumerate(copies) for path in same}
    pairs = []
    for i, j, bits in near_duplicates(looks):
        if copied.get(looks[i].path, -1) != copied.get(looks[j].path, -2):
            pairs.append((samples[looks[i].path][0], samples[looks[j].path][0], bits))
    across = [p for p in pairs if p[0].split != p[1].split and p[0].split and p[1].split]
    report.facts["near_duplicates"] = [
        {"photos": [_told(one), _told(two)], "differing_bits": bits} for one, two, bits in pairs
    ]
    if across:
        one, two, _ = across[0]
        report.warnings.append(
            f"photos that look alike are on two sides ({len(across)}), such as {one.path} in "
            f"{one.split} and {two.path} in {two.split}; give both one group if they are the same"
        )
    if len(looks) > MAX_COMPARED:
        report.warnings.append(
            f"near-duplicates were looked for among the first {MAX_COMPARED} photos only"
        )


def _balance(report: Report, dataset: Dataset) -> None:
    totals = {label: sum(row.values()) for label, row in report.counts.items()}
    if not totals:
        report.errors.append("no sample has a label")
        return
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    ratio = totals[most] / max(totals[least], 1)
    report.facts["imbalance"] = {
        "largest": {"label": most, "samples": totals[most]},
        "smallest": {"label": least, "samples": totals[least]},
        "ratio": round(ratio, 3),
    }
    if ratio >= IMBALANCE:
        report.warnings.append(
            f"{most} has {ratio:.0f} times as many samples as {least} ({totals[most]} and "
            f"{totals[least]})"
        )
    if len(totals) < 2:
        report.errors.append(f"there is one label only, {most}: nothing to tell apart")
    splits = {sample.split for sample in dataset.samples}
    part = "train" if "train" in splits else NO_SPLIT
    few = [label for label, row in report.counts.items() if row.get(part, 0) < FEW]
    none = [label for label in few if not report.counts[label].get(part, 0)]
    if none:
        report.errors.append(f"no training samples of {', '.join(none)}")
    if len(few) > len(none):
        names = ", ".join(label for label in few if label not in none)
        report.warnings.append(f"under {FEW} training samples of {names}")


def _people(
    report: Report,
    dataset: Dataset,
    paths: Sequence[Path],
    progress: bool,
    jobs: int | None,
    finding: dict[str, Any],
) -> None:
    for path, found in find_people(paths, jobs=jobs, progress=progress, **finding):
        if isinstance(found, InputError):
            report.errors.append(f"no people found: {found}")
        else:
            report.people[path] = found
    per_label: dict[str, Counter[str]] = {label: Counter() for label in dataset.labels}
    for sample in dataset.samples:
        if sample.path in report.people and sample.label is not None:
            count = len(report.people[sample.path])
            per_label[sample.label][("nobody", "one", "several")[min(count, 2)]] += 1
    total: Counter[str] = sum(per_label.values(), Counter())
    report.facts["people"] = {
        "photos": dict(total),
        "labels": {label: dict(counted) for label, counted in per_label.items()},
    }


def _told(sample: Sample) -> dict[str, str | None]:
    return {"path": str(sample.path), "label": sample.label, "split": sample.split}
