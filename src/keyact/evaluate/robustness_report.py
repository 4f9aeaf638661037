"""The result of a robustness run: a row per condition, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from keyact.errors import InputError, KeyactError
from keyact.evaluate.metrics import expected_calibration_error
from keyact.evaluate.output import read_capped, save_figure, write_csv, write_json
from keyact.evaluate.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_JSON_BYTES = 16 * 2**20
Family = Literal["clean", "corruption", "occlusion", "keypoints"]


class Condition(BaseModel):
    """How a model did under one perturbation of one severity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    perturbation: str
    family: Family
    severity: int
    photos: int
    top1: float
    ece: float
    confidence: float
    photos_with_person: float

    @classmethod
    def of(cls, name: str, family: Family, severity: int, found: Predictions) -> Condition:
        return cls(
            perturbation=name,
            family=family,
            severity=severity,
            photos=len(found),
            top1=round(float(found.right.mean()), 5),
            ece=round(expected_calibration_error(found.confidence, found.right), 5),
            confidence=round(float(found.confidence.mean()), 5),
            photos_with_person=round(float((found.attributes["people"] > 0).mean()), 5),
        )


class Robustness(BaseModel):
    """What ``robustness.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["1"] = "1"
    model: str
    dataset: str
    keep_keypoints: bool
    size: int | None
    seed: int
    clean: Condition
    conditions: tuple[Condition, ...]

    @classmethod
    def of(
        cls,
        clean: Predictions,
        conditions: Iterable[Condition],
        *,
        keep_keypoints: bool,
        size: int | None,
        seed: int,
    ) -> Robustness:
        return cls(
            model=clean.model,
            dataset=clean.dataset,
            keep_keypoints=keep_keypoints,
            size=size,
            seed=seed,
            clean=Condition.of("clean", "clean", 0, clean),
            conditions=tuple(conditions),
        )

    def accuracy(self, family: Family = "corruption") -> float | None:
        """Mean accuracy over the perturbations of a family and their severities."""
        values = [row.top1 for row in self.conditions if row.family == family]
        return float(np.mean(values)) if values else None

    def relative(self, family: Family = "corruption") -> float | None:
        """That mean over the clean accuracy: 1 is a model that does not notice."""
        mean = self.accuracy(family)
        return None if mean is None or self.clean.top1 == 0 else mean / self.clean.top1

    def corruption_error(self, baseline: Robustness) -> float:
        """mCE: mean over the corruptions of the errors over the baseline's, each summed over the
        severities (Hendrycks and Dietterich, ICLR 2019). Below 1 is more robust than the baseline.

        Raises
        ------
        KeyactError : the two are not about the same corruptions and photos, or the baseline
            makes no error under one of them.
        """
        own, other = self._errors(), baseline._errors()
        if own.keys() != other.keys() or self.clean.photos != baseline.clean.photos:
            raise KeyactError(
                f"{baseline.model}: was not measured under the same corruptions of the same "
                f"photos as {self.model}; run keyact robustness for both with the same options"
            )
        if not own or min(other.values()) == 0:
            raise KeyactError(f"{baseline.model}: has no corruption errors to compare with")
        return float(np.mean([own[name] / other[name] for name in own]))

    def _errors(self) -> dict[str, float]:
        errors: dict[str, float] = {}
        for row in self.conditions:
            if row.family == "corruption":
                errors[row.perturbation] = errors.get(row.perturbation, 0.0) + 1 - row.top1
        return errors

    def summary(self) -> dict[str, float | None]:
        """The figures that a table shows, rounded."""
        found: dict[str, float | None] = {"clean": self.clean.top1}
        for family in ("corruption", "occlusion", "keypoints"):
            found[f"{family}_accuracy"] = _rounded(self.accuracy(family))
            found[f"{family}_relative"] = _rounded(self.relative(family))
        return found

    @classmethod
    def load(cls, path: str | Path) -> Robustness:
        """Read ``robustness.json``.

        Raises
        ------
        InputError : no such file, too large, or not of this schema version.
        """
        text = read_capped(Path(path), MAX_JSON_BYTES)
        try:
            return cls.model_validate(_without_summary(text))
        except (ValidationError, ValueError) as error:
            raise InputError(f"{path}: not a robustness result ({_first_line(error)})") from None


def save_robustness(folder: str | Path, found: Robustness) -> None:
    """Write ``robustness.csv``, ``robustness.png`` and ``robustness.json`` into a folder.

    Raises
    ------
    KeyactError : the folder cannot be written.
    """
    folder = Path(folder)
    write_csv(
        folder / "robustness.csv",
        [row.model_dump() for row in (found.clean, *found.conditions)],
    )
    save_figure(folder / "robustness.png", plot(found))
    write_json(
        folder / "robustness.json", {**found.model_dump(mode="json"), "summary": found.summary()}
    )


def plot(found: Robustness) -> Figure:
    """Accuracy of every condition as a table of colours, and each family's course."""
    from keyact.evaluate.plots import BLUE, GREY, INK, ORANGE, blank, titled

    names = list(dict.fromkeys(row.perturbation for row in found.conditions))
    severities = sorted({row.severity for row in found.conditions})
    table = np.full((len(names), len(severities) + 1), np.nan)
    for row in found.conditions:
        table[names.index(row.perturbation), severities.index(row.severity)] = row.top1
    measured = ~np.isnan(table[:, :-1])
    table[:, -1] = np.where(measured, table[:, :-1], 0).sum(1) / measured.sum(1)

    figure, axes = blank(
        10.5, 1.7 + 0.3 * max(8, len(names)), columns=2, gridspec_kw={"width_ratios": (1.15, 1)}
    )
    heat, lines = axes[0]
    heat.spines[:].set_visible(False)
    heat.imshow(table / max(found.clean.top1, 1e-9), cmap="RdYlBu", vmin=0, vmax=1.2, aspect="auto")
    for (y, x), value in np.ndenumerate(table):
        if not np.isnan(value):
            weight = "bold" if x == table.shape[1] - 1 else "normal"
            heat.text(
                x, y, f"{value:.0%}", ha="center", va="center", fontsize=8, fontweight=weight,
                color=INK if value > 0.12 * found.clean.top1 else "white",
            )  # fmt: skip
    heat.axvline(len(severities) - 0.5, color="white", linewidth=3)
    heat.set_xticks(range(table.shape[1]), [*map(str, severities), "mean"])
    heat.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    titled(heat, f"{found.model}: clean {found.clean.top1:.1%}", "severity")

    lines.axhline(found.clean.top1, color=GREY, linestyle="--", linewidth=1, label="clean")
    colours = {"corruption": BLUE, "occlusion": ORANGE, "keypoints": "#4b9b5f"}
    for family, colour in colours.items():
        rows = [row for row in found.conditions if row.family == family]
        for name in dict.fromkeys(row.perturbation for row in rows):
            _course(lines, [row for row in rows if row.perturbation == name], colour, 0.9, 0.25)
        if rows:
            label = {"keypoints": "key points"}.get(family, family)
            _course(lines, rows, colour, 2.2, 1.0, f"{label}, mean {found.accuracy(family):.1%}")  # type: ignore[arg-type]
    lines.set_xticks(severities)
    lines.set_ylim(top=1)
    lines.grid(alpha=0.25)
    lines.legend(fontsize=8, frameon=False, loc="lower left")
    people = "people of the clean photo" if found.keep_keypoints else "people found anew"
    titled(lines, f"{found.dataset}, {found.clean.photos} photos, {people}", "severity", "top-1")
    return figure


def _course(
    ax: Any, rows: Sequence[Condition], colour: str, width: float, alpha: float, label: str = ""
) -> None:
    severities = sorted({row.severity for row in rows})
    means = [float(np.mean([r.top1 for r in rows if r.severity == s])) for s in severities]
    ax.plot(
        severities, means, color=colour, linewidth=width, alpha=alpha, marker="o",
        markersize=1.8 * width, label=label or None,
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _without_summary(text: bytes) -> Any:
    """The stored fields; the summary beside them is for readers and is made anew."""
    import json

    data = json.loads(text)
    if isinstance(data, dict):
        data.pop("summary", None)
    return data


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
