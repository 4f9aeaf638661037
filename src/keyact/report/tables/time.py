"""Tables of sequence networks, as ``benchmarks/temporal.py`` measures them."""

from __future__ import annotations

from keyact.report.numbers import Markdown, millions, percent, points, whole
from keyact.report.results import Sample
from keyact.report.sources import Result
from keyact.report.tables.base import Table, grouped, if_there, median_of, sample, share_of, spoken


def models(result: Result) -> Table:
    rows = []
    for name, group in grouped(result, "model"):
        size = group[0]
        rows.append(
            (
                name, *(if_there(millions, size, key) for key in ("parameters", "macs")),
                median_of(group, "ms"), share_of(group, "val_top1"), share_of(group, "test_top1"),
                whole(len(group)), median_of(group, "seconds", 0),
            )
        )  # fmt: skip
    head = ("network", "parameters", "MACs", "ms", "val top-1", "test top-1", "seeds",
            "training, s")  # fmt: skip
    caption = "Sequence networks: mean ± deviation over the seeds; ms for a window on one core"
    return Table(caption, head, rows)


def together(result: Result) -> Table:
    rows = [(row["models"], row["files"], percent(row["test_top1"])) for row in result.data]
    caption = "The mean answer of the seeds of a network, and of all networks"
    return Table(caption, ("networks", "files", "test top-1"), rows)


def trees(result: Result) -> Table:
    rows = [
        (name, share_of(group, "val_top1"), share_of(group, "test_top1"), whole(len(group)))
        for name, group in grouped(result, "model")
    ]
    return Table("Floors without a network", ("model", "val top-1", "test top-1", "seeds"), rows)


def variants(result: Result) -> Table:
    full = {
        model: sample(group, "test_top1")
        for model, group in grouped([r for r in result.data if r["variant"] == "full"], "model")
    }
    rows = []
    for (variant, model), group in grouped(result, "variant", "model"):
        here, whole_clip = sample(group, "test_top1"), full.get(model)
        change = here and whole_clip and points(here.mean - whole_clip.mean)
        rows.append((variant, model, share_of(group, "val_top1"), share_of(group, "test_top1"),
                     change, whole(len(group))))  # fmt: skip
    head = ("what is left", "network", "val top-1", "test top-1", "against full", "seeds")
    caption = "What is left without some of the time: mean ± deviation over the seeds"
    return Table(caption, head, rows, ("network",))


def actions(result: Result) -> Table:
    names = list(dict.fromkeys(row["variant"] for row in result.data))
    rows = []
    for action, group in grouped(result, "action"):
        of = {name: sample([r for r in group if r["variant"] == name], "recall") for name in names}
        gain = None
        full, single = of.get("full"), of.get("single")
        if full is not None and single is not None:
            gain = full.mean - single.mean
        rows.append((gain or 0.0, (spoken(action), group[0]["recordings"],
                     *(s and percent(s.mean) for s in of.values()),
                     None if gain is None else points(gain))))  # fmt: skip
    rows.sort(key=lambda pair: -pair[0])
    head = ("action", "recordings", *names, "full − single")
    caption = "Recall of each action, mean of the seeds; what time adds most to comes first"
    return Table(caption, head, [row for _, row in rows])


def noise(result: Result) -> Table:
    return _crossed(
        result,
        ("noise", "amount"),
        "Top-1 in per cent on spoilt test recordings, mean ± deviation: jitter in body sizes, "
        "shares of joints and of frames not seen",
    )


def early(result: Result) -> Table:
    return _crossed(
        result, ("seen",), "Top-1 in per cent on the first share of the frames, mean ± deviation"
    )


def _crossed(result: Result, columns: tuple[str, ...], caption: str) -> Table:
    places = list(dict.fromkeys(tuple(row[name] for name in columns) for row in result.data))
    rows = []
    for model, group in grouped(result, "model"):
        of = {
            place: [r for r in group if tuple(r[name] for name in columns) == place]
            for place in places
        }
        rows.append((model, *(_bare(sample(part, "test_top1")) for part in of.values())))
    return Table(caption, ("network", *(" ".join(place) for place in places)), rows)


def _bare(found: Sample | None) -> Markdown | None:
    """In per cent, without saying so in every cell of a wide table."""
    return None if found is None else Markdown(percent(found)[:-2])
