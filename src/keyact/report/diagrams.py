"""Diagrams of the method, from the code and the networks themselves: never a stored picture.

The order of the stages is what `keyact.recognizer` says of itself; which network does each, and
what goes in and out, comes from the registry and the ONNX files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from keyact import weights
from keyact.backends import optional_import
from keyact.report.graph import Box, dims, parts, weights_of
from keyact.report.pictures.base import Picture
from keyact.report.tables.base import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = {"detect": "detector", "pose": "pose", "action": "action"}
_CONSTANTS = 100  # numbers under which a part has constants, not weights


def networks() -> Table:
    """The networks that come with keyact."""
    rows = []
    for entry in (one for one in weights.entries() if one.source == "bundled"):
        graph = _graph(entry)
        rows.append(
            (
                entry.name, entry.summary, _ports(graph.input), _ports(graph.output),
                sum(math.prod(one.dims) for one in weights_of(graph)),
                f"{entry.bytes / 1e6:.1f} MB",
                entry.licence,
            )
        )  # fmt: skip
    head = ("network", "what it does", "in", "out", "parameters", "file", "licence")
    texts = ("what it does", "in", "out", "licence")
    return Table("The networks that are shipped, read from their files", head, rows, texts)


def pipeline() -> Picture:
    """The stages in their order, and the network of each."""
    return Picture("pipeline", "The stages that a photo goes through", _draw_pipeline)


def network() -> Picture:
    """The action network's parts and what flows between them."""
    name = _defaults()["action"].name
    return Picture(
        f"network-{name}",
        f"The parts of {name}, read from its ONNX file: what each gives and its parameters",
        lambda: _draw_network(parts(_graph(_defaults()["action"]))),
    )


DIAGRAMS: dict[str, Callable[[], Picture]] = {"pipeline": pipeline, "network": network}


def stages() -> list[str]:
    """The names of the stages, as `keyact.recognizer` puts them in its first lines."""
    from keyact import recognizer

    (line,) = re.findall(r"^(.* → .*?)\.? ", (recognizer.__doc__ or "") + " ", re.MULTILINE)[:1]
    return [stage.strip(" .") for stage in line.split("→")]


def _defaults() -> dict[str, weights.WeightEntry]:
    found = {entry.kind: entry for entry in weights.entries() if entry.default}
    return {kind: found[kind] for kind in _KIND.values()}


def _graph(entry: weights.WeightEntry) -> Any:
    onnx = optional_import("onnx", "report")
    return onnx.load_model_from_string(weights.read_model_file(entry.path)).graph


def _ports(some: Iterable[Any]) -> str:
    return "; ".join(f"{one.name} {' × '.join(map(str, dims(one)))}" for one in some)


def _draw_pipeline() -> Figure:
    from keyact.evaluate.plots import INK, blank

    found = _defaults()
    boxes: list[list[str]] = []
    for stage in ("photo", *stages(), "result"):
        kind = _KIND.get(stage)
        entry = found[kind] if kind else None
        ports = _graph(entry).input if entry else ()
        shapes = [f"{one.name} {' × '.join(map(str, dims(one)[1:]))}" for one in ports]
        boxes.append([stage, *([entry.name] if entry else []), *shapes])
    widths = [0.35 + 0.062 * max(map(len, lines)) for lines in boxes]  # inches
    figure, axes = blank(sum(widths) + 0.28 * len(widths), 1.4)
    ax = axes[0, 0]
    ax.axis("off")
    left = 0.0
    for lines, width in zip(boxes, widths, strict=True):
        _box(ax, left + width / 2, 0.0, lines, network=len(lines) > 1)
        if left:
            ax.annotate(
                "", (left + 0.06, 0), (left - 0.34, 0),
                arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.2},
            )  # fmt: skip
        left += width + 0.28
    ax.set(xlim=(0, left - 0.28), ylim=(-0.75, 0.75))
    return figure


def _draw_network(boxes: dict[str, Box]) -> Figure:
    from keyact.evaluate.plots import GREY, blank

    places = _places(boxes)
    across = [x for x, _ in places.values()]
    deepest = max(box.depth for box in boxes.values())
    figure, axes = blank(2.5 * (max(across) - min(across) + 1), 0.62 * (deepest + 1) + 0.2)
    ax = axes[0, 0]
    ax.axis("off")
    for key, box in boxes.items():
        for source in sorted(box.takes):
            (x0, y0), (x1, y1) = places[source], places[key]
            # Around what stands between the two.
            bend = 0.3 if x0 == x1 and y0 - y1 > 1 else 0.0
            ax.annotate(
                "", (x1, y1 + 0.3), (x0, y0 - 0.3), zorder=1,
                arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.1,
                            "connectionstyle": f"arc3,rad={bend}"},
            )  # fmt: skip
    for key, box in boxes.items():
        sizes = " × ".join(map(str, box.shape[1:]))
        learnt = f"{box.parameters:,} parameters" if box.parameters >= _CONSTANTS else ""
        said = ", ".join(filter(None, (sizes, learnt)))
        _box(ax, *places[key], [box.name, said], network=bool(learnt))
    ax.set(xlim=(min(across) - 0.5, max(across) + 0.5), ylim=(-deepest - 0.5, 0.5))
    return figure


def _places(boxes: dict[str, Box]) -> dict[str, tuple[float, float]]:
    """Down the page by depth; across under the middle of what a box takes from, with a width
    between neighbours."""
    places: dict[str, tuple[float, float]] = {}
    for depth in range(max(box.depth for box in boxes.values()) + 1):
        row = sorted(
            (_middle(boxes[key], places, place), key)
            for place, key in enumerate(key for key, box in boxes.items() if box.depth == depth)
        )
        before, spread = -math.inf, []
        for x, _ in row:
            before = max(x, before + 1)
            spread.append(before)
        # Those that had to make room did so to the right: half of it goes back.
        back = sum(new - old for new, (old, _) in zip(spread, row, strict=True)) / len(row)
        for x, (_, key) in zip(spread, row, strict=True):
            places[key] = (round(x - back, 3), -float(depth))
    return places


def _middle(box: Box, places: dict[str, tuple[float, float]], first: int) -> float:
    found = [places[source][0] for source in box.takes]
    return sum(found) / len(found) if found else float(first)


def _box(ax: Any, x: float, y: float, lines: list[str], network: bool) -> None:
    from keyact.evaluate.plots import BLUE, GREY, INK

    first, rest = lines[0], "\n".join(line for line in lines[1:] if line)
    ax.text(
        x, y, f"{first}\n{rest}".strip(), ha="center", va="center", fontsize=8, color=INK, zorder=3,
        linespacing=1.35,
        bbox={"boxstyle": "round,pad=0.45", "facecolor": "#eaf1fa" if network else "white",
              "edgecolor": BLUE if network else GREY},
    )  # fmt: skip
