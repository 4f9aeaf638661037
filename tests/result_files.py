"""A folder of small result files, one of every kind that a report knows."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODELS = ("tcn", "stgcnpp")
SEEDS = (0, 1, 2)
VARIANTS = ("single", "average", "shuffled", "full")
ACTIONS = ("clean_and_jerk", "squat", "bowl")

CONDITION = {"photos": 40, "ece": 0.1, "confidence": 0.7, "photos_with_person": 0.9}


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def write_json(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")
    return path


def write_time(folder: Path) -> None:
    """What ``benchmarks/temporal.py`` writes."""
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in (
        "models", "trees", "variants", "actions", "noise", "early")}  # fmt: skip
    for i, model in enumerate(MODELS):
        for seed in SEEDS:
            top1 = 0.9 + 0.01 * i + 0.002 * seed
            rows["models"].append({
                "model": model, "seed": seed, "parameters": 100_000 * (i + 1), "macs": 2_000_000,
                "ms": 1.5 + i, "val_top1": top1, "test_top1": top1, "seconds": 60})  # fmt: skip
            for seen in (0.2, 0.5, 1.0):
                rows["early"].append({"model": model, "seed": seed, "seen": seen,
                                      "test_top1": round(top1 * seen**0.3, 4)})  # fmt: skip
            for noise, amount in (("jitter", 0.0), ("jitter", 0.1), ("joints", 0.5),
                                  ("frames", 0.75)):  # fmt: skip
                value = round(top1 - amount / 4, 4)
                rows["noise"].append({"model": model, "seed": seed, "noise": noise,
                                      "amount": amount, "test_top1": value})  # fmt: skip
    for seed in SEEDS:
        rows["trees"].append({"model": "extra-trees", "seed": seed, "val_top1": 0.8,
                              "test_top1": 0.79 + 0.001 * seed})  # fmt: skip
        for i, variant in enumerate(VARIANTS):
            top1 = round(0.7 + 0.08 * i + 0.003 * seed, 4)
            key = {"variant": variant, "model": "tcn", "seed": seed}
            rows["variants"].append({**key, "val_top1": top1, "test_top1": top1})
            for j, action in enumerate(ACTIONS):
                recall = round(top1 - 0.1 * j * (3 - i) / 3, 4)
                row = {"action": action, "recordings": 30 + j, "recall": recall}
                rows["actions"].append({**key, **row})
    rows["together"] = [{"models": "tcn+stgcnpp", "files": 6, "test_top1": 0.93}]
    write_json(
        folder / "penn_tcn.json",
        {
            "parameters": "99,000",
            "held out of train": {"recordings": 30, "top1": 0.95},
            "test": {"recordings": 93, "top1": 0.94, "accuracy_at_coverage": {"100%": 0.94}},
        },
    )
    for name, table in rows.items():
        write_table(folder / "temporal" / f"{name}.csv", table)


def write_keypoints(folder: Path) -> None:
    settings = {
        "flip": ("off", "on"),
        "decode": ("argmax", "dark"),
        "margin": ("1.2", "1.5", "1.25"),
        "nms": ("on", "off"),
        "size": ("224 x 224", "256 x 192"),
        "int8": ("float", "dynamic"),
        "detector": ("persondet-m", "true boxes"),
    }
    write_table(folder / "keypoints.csv", [
        {"lever": lever, "value": value, "oks_true_boxes": 0.69 + 0.02 * i,
         "oks_detector": "" if value == "true boxes" else 0.68 + 0.02 * i, "poses": 11,
         "people": 12, "teacher_oks": 0.71 - 0.01 * i, "teacher_pck": 0.82, "crops": 100,
         "top1": "" if value == "true boxes" else 0.9, "photos": 60, "gained": i, "lost": 0,
         "ms_per_person": "" if lever in ("nms", "detector") else 9.5 + i,
         "ms_per_photo_detector": 7.5 if value == "persondet-m" else "", "mb": 4.6,
         "pose": "fastpose-m", "threads": 2}
        for lever, values in settings.items() for i, value in enumerate(values)
    ])  # fmt: skip
    for name in ("backends", "agreement"):
        write_table(folder / f"{name}.csv", [
            {"pose": pose, "detector": "true boxes", "photos": 4, "people": 12, "ap": ap,
             "ap50": 0.9, "oks": ap + 0.1, "pck@0.1": 0.8, "pck@0.2": 0.9, "ms_per_person": 10.0,
             "threads": 2}
            for pose, ap in (("fastpose-m", 0.4), ("movenet:thunder.tflite", 0.7))
        ])  # fmt: skip
    branches = ("photo", "photo + person", "photo + person + key points")
    write_table(folder / "keypoint_ablation.csv", [
        {"branches": name, "seeds": 3, "val_top1_mean": 0.8 + 0.02 * i,
         "test_top1_mean": 0.81 + 0.02 * i, "test_top1_sd": 0.004,
         "gained_vs_photo_person": 3 * i, "lost_vs_photo_person": i, "mcnemar_p": 0.04}
        for i, name in enumerate(branches)
    ])  # fmt: skip
    joints = {"nose": 0.8}
    write_json(folder / "fastpose_m.json", {
        "parameters": "2,264,235", "steps": 2741,
        "OKS by margin round the box, held-out crops": {"1.2": 0.8587, "1.25": 0.858},
        "held-out crops": {"pck@0.1": 0.81, "crops": 2307, "pck_per_joint": joints}})  # fmt: skip
    found = {"parameters": "1,901,151", "held-out photos": 1062, "any area": {"recall": 0.8}}
    write_json(folder / "persondet_m.json", found)


def write_photos(folder: Path) -> None:
    part = {"photos": 50, "top1": 0.9, "top5": 0.98, "ece": 0.02, "photos_with_person": 40,
            "top1_with_person": 0.92, "top1_without_person": 0.8, "named_share": 0.9,
            "named_accuracy": 0.95, "accuracy_at_coverage": {"100%": 0.9, "50%": 0.99}}  # fmt: skip
    write_json(folder / "sports18.json",
               {"parameters": "2,655,604", "steps": 2400, "val": part, "test": part})  # fmt: skip
    pair = [{"path": "a.jpg", "label": "run", "split": "train"},
            {"path": "b.jpg", "label": "run", "split": "test"}]  # fmt: skip
    write_json(folder / "sports18_check.json", {
        "ok": False, "errors": ["on two sides: a.jpg"], "warnings": [], "name": "sports18",
        "samples": 150, "groups": 150, "splits": {"train": 70, "val": 30, "test": 50},
        "counts": {"run": {"train": 40, "val": 15, "test": 25},
                   "ice_hockey": {"train": 30, "val": 15, "test": 25}},
        "exact_duplicates": [pair], "near_duplicates": [{"photos": pair, "differing_bits": 2}],
        "unreadable": [], "blank": ["c.jpg"], "small": [],
        "imbalance": {"ratio": 1.143}})  # fmt: skip
    write_table(folder / "comparison" / "comparison.csv", [
        {"model": model, "rows": 50, "top1": top1, "top1_low": top1 - 0.05,
         "top1_high": top1 + 0.04, "balanced_accuracy": top1, "macro_f1": top1, "ece": 0.03,
         "gained": 3 * i, "lost": i, "p_vs_first": 0.2 if i else "", "corruption_accuracy": "",
         "corruption_relative": "", "mce_vs_first": "", "parameters": 2_000_000 * (i + 1),
         "macs": 600_000_000, "bytes": 5_000_000, "ms_1_p50": 20.5 + 9 * i, "ms_1_p95": 25.0,
         "ms_2_p50": "", "ms_2_p95": "", "photo_ms_1_p50": 60.0, "memory_mb": 300.0}
        for i, (model, top1) in enumerate((("mobilenetv2", 0.85), ("keypoint-fusion", 0.9)))
    ])  # fmt: skip
    clean = {**CONDITION, "perturbation": "clean", "family": "clean", "severity": 0, "top1": 0.9}
    conditions = [
        {**CONDITION, "perturbation": name, "family": family, "severity": severity,
         "top1": round(0.9 - 0.1 * severity, 3)}
        for name, family in (("fog", "corruption"), ("occlusion", "occlusion"),
                             ("joint_jitter", "keypoints"))
        for severity in (1, 3)
    ]  # fmt: skip
    write_json(folder / "robustness" / "robustness.json", {
        "schema_version": "1", "model": "keypoint-fusion", "dataset": "sports18",
        "keep_keypoints": False, "size": 224, "seed": 0, "clean": clean, "conditions": conditions,
        "summary": {"clean": 0.9, "corruption_accuracy": 0.7, "occlusion_accuracy": 0.7,
                    "keypoints_accuracy": 0.7}})  # fmt: skip
    write_table(folder / "yoga8.csv", [
        {"model": model, "fold": fold, "photos": 24 if fold != "all" else 48, "top1": top1,
         "balanced_accuracy": top1, "macro_f1": top1, "ece": 0.1,
         "top1_low": top1 - 0.1 if fold == "all" else "",
         "top1_high": top1 + 0.1 if fold == "all" else "", "mcnemar_p": ""}
        for model, top1 in (("keypoint-fusion", 0.8), ("keypoints-mlp", 0.75))
        for fold in (1, 2, "all")
    ])  # fmt: skip
    track = {"clip": "one", "measure": "numbers", "setting": "fps 30.0", "matched_by": "boxes"}
    write_table(
        folder / "tracking.csv",
        [
            {**track, "switches": 2, "numbers": 5, "moved": ""},
            {**track, "measure": "carried", "switches": "", "numbers": "", "moved": "0.1"},
        ],
    )
    setting = "some CPU, 2 thread(s)"
    costs = {"decode": 3.4, "detect": 13.5, "pose": 22.3, "action": 26.2, "total": 64.4,
             "bare networks' sum": 55.3}  # fmt: skip
    rows = [{"what": what, "unit": "ms", "value": ms, "setting": setting}
            for what, ms in costs.items()]  # fmt: skip
    rows.append({"what": "people per photo", "unit": "count", "value": 2.75, "setting": setting})
    write_table(folder / "pipeline.csv", rows)
    strange = {"split": "all", "photos": 400, "sure": 0.5, "mean": 0.8, "of": 0.7}
    write_table(folder / "strangers.csv", [
        {"set": name, "named": named, "auroc": auroc, "most": most, **strange}
        for name, named, auroc, most in (("exercises", 0.9, 0.7, "weight_lifting"),
                                         ("yoga8", 0.8, 0.8, "gymnastics"))
    ])  # fmt: skip
    work = {"data": "Penn Action", "work": "UNIK", "metric": "top-1 %", "value": 97.9}
    seen = {"source": "yang2021unik", "protocol": "pre-trained", "found_in": "aggregator"}
    write_table(folder / "published.csv", [work | seen])
    write_json(folder / "environment.json", {
        "python": "3.11.7", "system": "Linux", "cpu": "some CPU", "cpus": 2, "backend": None,
        "threads": {}, "packages": {"keyact": "0.1.0"}, "commit": "abc"})  # fmt: skip


def write_evaluation(folder: Path, *, label: str = "run") -> Path:
    """An evaluation.json of two labels, without what draws its pictures."""
    figure = {"value": 0.9, "low": 0.85, "high": 0.94}
    names = ("top1", "top5", "balanced_accuracy", "macro_f1", "map", "ece")
    row = {"rows": 20, "predicted": 20, "precision": 0.9, "recall": 0.9, "f1": 0.9}
    part = {"name": "one", "rows": 30, "accuracy": 0.9, "low": 0.8, "high": 0.95}
    other = {"name": "nobody", "rows": 10, "accuracy": 0.6, "low": 0.4, "high": 0.8}
    return write_json(folder / "evaluation.json", {
        "schema_version": "1", "keyact": "0.1.0", "model": "keypoint-fusion",
        "dataset": "sports18", "split": "test", "rows": 40, "failed": [], "grouped": True,
        "resamples": 1000, "level": 0.95, "metrics": dict.fromkeys(names, figure),
        "named": {"threshold": 0.5, "share": 0.9, "accuracy": 0.95},
        "accuracy_at_coverage": {"100%": 0.9, "50%": 0.98},
        "reliability": [{"low": 0.6, "high": 0.8, "rows": 20, "confidence": 0.7, "accuracy": 0.8},
                        {"low": 0.8, "high": 1.0, "rows": 20, "confidence": 0.9, "accuracy": 1.0}],
        "labels": [label, "swim"], "confusion": [[18, 2], [2, 18]],
        "per_class": [{"label": label, **row}, {"label": "swim", **row}],
        "subgroups": {"people": [other, part]},
        "comparisons": [{"other": "mobilenetv2", "other_top1": 0.85, "gained": 4, "lost": 2,
                         "p": 0.69}]})  # fmt: skip


def write_run(folder: Path) -> Path:
    """A run's folder as `keyact train` leaves it, without its weights."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("epochs: 3\nseed: 7\n", "utf-8")
    write_json(folder / "environment.json", {
        "python": "3.12.1", "system": "Linux", "cpu": "other CPU", "cpus": 4, "packages": {},
        "commit": None})  # fmt: skip
    write_json(folder / "model.json", {"labels": ["run", "swim"]})
    write_json(folder / "metrics.json", {"top1": 0.8})
    write_table(folder / "log.csv", [{"epoch": 1, "loss": 0.5}])
    return folder


def write_results(folder: Path) -> Path:
    """Everything."""
    write_time(folder)
    write_keypoints(folder)
    write_photos(folder)
    write_evaluation(folder / "evaluation")
    write_run(folder / "runs" / "first")
    return folder
