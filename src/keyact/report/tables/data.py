"""Tables of the data, of costs, of what others published and of the machine."""

from __future__ import annotations

from typing import Any

from keyact.report.numbers import Markdown, escape, fixed, percent, whole
from keyact.report.sources import Result
from keyact.report.tables.base import Table, spoken


def counts(result: Result) -> Table:
    data = result.data
    splits = list(dict.fromkeys(split for row in data["counts"].values() for split in row))
    people = (data.get("people") or {}).get("labels", {})
    rows = []
    for label, row in data["counts"].items():
        found = people.get(label, {})
        seen = sum(found.values())
        nobody = percent(found.get("nobody", 0) / seen) if seen else ""
        rows.append((spoken(label), *(whole(row.get(split, 0)) for split in splits), nobody))
    total = {split: sum(row.get(split, 0) for row in data["counts"].values()) for split in splits}
    rows.append(("all", *(whole(total[split]) for split in splits), ""))
    head = ("label", *("no split" if s == "none" else s for s in splits), "with nobody in it")
    return Table(f"{data.get('name', result.name)}: samples of each label", head, rows)


def faults(result: Result) -> Table:
    data = result.data
    near, same = data.get("near_duplicates"), data.get("exact_duplicates") or []
    found: dict[str, object] = {
        "samples": data.get("samples"),
        "groups that splits keep together": data.get("groups"),
        "files that cannot be read": _many(data.get("unreadable")),
        "of one colour": _many(data.get("blank")),
        "very small": _many(data.get("small")),
        "sets of exact copies": _many(same),
        "pairs that look alike": _many(near),
        "pairs that look alike on two sides": None if near is None else _across(near),
        "errors": _many(data["errors"]),
        "warnings": _many(data["warnings"]),
    }
    ratio = (data.get("imbalance") or {}).get("ratio")
    rows = [(name, whole(value)) for name, value in found.items() if value is not None]
    if ratio is not None:
        rows.append(("largest label over smallest", fixed(ratio, 2)))
    people = (data.get("people") or {}).get("photos", {})
    if sum(people.values()):
        share = people.get("nobody", 0) / sum(people.values())
        rows.append(("photos in which nobody is found", percent(share)))
    return Table(f"{data.get('name', result.name)}: what the check found", ("what", "count"), rows)


def costs(result: Result) -> Table:
    rows = [(row["what"], _digits(row["value"]), row["unit"]) for row in result.data]
    settings = ", ".join(dict.fromkeys(row["setting"] for row in result.data))
    return Table(f"Measured with {settings}", ("what", "value", "unit"), rows, ("unit",))


def published(result: Result, data: str | None = None) -> Table:
    rows = [
        (
            Markdown(f"{escape(row['work'])} [@{row['source']}]"),
            *(() if data else (row["data"],)),
            row["metric"],
            row["value"],
            row["protocol"],
            row.get("found_in", ""),
        )
        for row in result.data
        if data in (None, row["data"]) and row["source"].isalnum()
    ]
    head = ("work", *(() if data else ("data set",)), "metric", "value", "protocol", "found in")
    on = f" on {data}" if data else ""
    texts = ("data set", "metric", "protocol", "found in")
    return Table(f"Published figures{on}: not one of them in keyact's protocol", head, rows, texts)


def environment(result: Result) -> Table:
    data = result.data
    rows = [(key, data[key]) for key in ("python", "system", "cpu", "cpus", "commit") if data[key]]
    rows += [(f"{key}", value) for key, value in (data.get("threads") or {}).items()]
    rows += [(name, number) for name, number in data["packages"].items()]
    head = ("what", "which")
    return Table("Environment", head, [(k, str(v)) for k, v in rows], ("which",))


def tracking(result: Result) -> Table:
    rows = [
        (row["clip"], row["setting"], row["matched_by"], whole(row["switches"]),
         whole(row["numbers"]))
        for row in result.data
        if row["measure"] == "numbers"
    ]  # fmt: skip
    head = ("clip", "setting", "matched by", "switches", "numbers")
    caption = "Numbers of people in clips: switches in place, and people counted"
    return Table(caption, head, rows, ("setting", "matched by"))


def _digits(text: str) -> Markdown:
    value = float(text)
    return whole(value) if abs(value) >= 100 else fixed(value, 2)


def _many(some: Any) -> int | None:
    return len(some) if isinstance(some, (list, tuple)) else some


def _across(pairs: Any) -> int:
    """Pairs whose two photos are of different splits; a shortened check has the number itself."""
    if not isinstance(pairs, list):
        return 0
    return sum(one["photos"][0]["split"] != one["photos"][1]["split"] for one in pairs)
