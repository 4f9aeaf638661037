"""Write the figures of the README from the result files, so that none is typed.

    python benchmarks/readme.py            # fill the blocks between <!-- figures: ... --> marks
    python benchmarks/readme.py --check    # exit 1 when the README says something else

The files come from the commands in CONTRIBUTING.md; each table says which.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
README = ROOT / "README.md"
CARD = ROOT / "src" / "keyact" / "weights" / "fastpose_m.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    old = README.read_text("utf-8")
    new = filled(old)
    if options.check:
        sys.exit(0 if new == old else "README.md is out of date: python benchmarks/readme.py")
    README.write_text(new, "utf-8")


def filled(text: str) -> str:
    """The README with its blocks of figures made anew."""
    for name, make in BLOCKS.items():
        pattern = rf"(<!-- figures: {name} -->\n).*?(<!-- /figures -->)"
        text, count = re.subn(pattern, lambda m: f"{m[1]}{make()}\n{m[2]}", text, flags=re.DOTALL)  # noqa: B023
        if count != 1:
            raise SystemExit(f"README.md: expected one block of figures {name!r}, found {count}")
    return text


def picture() -> str:
    """Drawn people, and what was said of each: wrong answers, too."""
    lines = (ROOT / "docs" / "images" / "people.jsonl").read_text("utf-8").splitlines()
    said = []
    for person in (person for line in lines for person in json.loads(line)["people"]):
        name = person["action"].replace("_", " ")
        if person["action"] != "unknown":
            name += f" {person['actions'][0]['probability']:.0%}"
        said.append(f"{name} ({person['posture']})")
    return (
        f"![Drawn people with boxes, skeletons and labels: {', '.join(said)}]"
        "(docs/images/people.jpg)\n\n"
        "These people are drawn (`notebooks/drawn.py`) and do none of the 18 sports that the\n"
        f"shipped model knows. From left to right it says:\n{'; '.join(said)}."
    )


STRANGERS = {
    "exercises": "gym exercises, apart from those its gate learnt from",
    "yoga8": "yoga poses",
    "clips": "frames of 4 clips (walk, exercise, golf)",
}


def accuracy() -> str:
    sports, pose, people = (_json(f"{n}.json") for n in ("sports18", "fastpose_m", "persondet_m"))
    penn = _json("penn_tcn.json")["test"]
    test, val = sports["test"], sports["val"]
    held_out, flipped = pose["held-out crops"], pose["held-out crops, flip test"]
    human = _row("keypoints.csv", lever="flip", value="off")
    strangers = {row["set"]: row for row in _csv("strangers.csv")}
    found = people["teacher >= .5, area > 64x64"]
    unsure = people["teacher >= .3, area > 64x64"]
    crowd = people["photos with 5+ people, area > 64x64"]
    with_points, without = (
        _row("keypoint_ablation.csv", branches=f"photo + person{end}")
        for end in (" + key points", "")
    )
    table = _table(
        ("what", "on", "figure"),
        [
            ("action, top-1", f"sports18 test, {test['photos']:,} photos", _share(test["top1"])),
            ("balanced accuracy / macro-F1", "the same",
             f"{_share(test['balanced_accuracy'])} / {_share(test['macro_f1'])}"),
            ("top-1 where a person was found / not", "the same",
             f"{_share(test['top1_with_person'])} / {_share(test['top1_without_person'])}"),
            ("calibration error (ECE, 15 bins)", "the same", _share(test["ece"])),
            ("right among the photos that get a name", "the same",
             f"{_share(test['named_accuracy'])} of {_share(test['named_share'])}"),
            ("photos of something else that get a sport's name all the same",
             " / ".join(f"{strangers[one]['photos']} {what}" for one, what in STRANGERS.items()),
             " / ".join(_share(float(strangers[one]["named"])) for one in STRANGERS)),
            ("action, top-1 (what choices were made on)", f"sports18 val, {val['photos']} photos",
             _share(val["top1"])),
            ("action of a recording of key points, top-1",
             f"Penn Action test, {penn['recordings']:,} recordings, joints by hand",
             _share(penn["top1"])),
            ("what key points add to photo and person, top-1",
             f"the same test, frozen features, {with_points['seeds']} seeds",
             f"{_mean(without)} → {_mean(with_points)} (McNemar p "
             f"{_share(float(with_points['mcnemar_p']))})"),
            ("key points, mean OKS, true boxes", "12 people of 4 COCO photos, human labels",
             human["oks_true_boxes"]),
            ("key points, mean OKS, own boxes", "the same", human["oks_detector"]),
            ("key points, PCK@0.1 against the teacher (flip test)",
             f"{held_out['crops']:,} crops of val, which weights, decoding and margin were chosen "
             "on",
             f"{_share(held_out['pck@0.1'])} ({_share(flipped['pck@0.1'])})"),
            ("people, recall / precision against the teacher",
             f"{people['held-out photos']:,} held-out photos, boxes over 64 × 64 px of which the "
             "teacher is sure (≥ .5); threshold chosen on them",
             f"{_share(found['recall'])} / {_share(found['precision'])}"),
            ("the same, boxes from .3 on", "the same",
             f"{_share(unsure['recall'])} / {_share(unsure['precision'])}"),
            ("the same in photos of 5 and more people", "boxes from .5 on",
             f"{_share(crowd['recall'])} / {_share(crowd['precision'])}"),
        ],
    )  # fmt: skip
    return f"{table}\n\n{_reservation()}"


def _reservation() -> str:
    """What the figures of the key points were not kept from."""
    was, now = (_row("keypoints.csv", lever="margin", value=m) for m in ("1.25", "1.2"))
    found = re.search(r"(\.\d+ ± \.\d+)\s+above\s+1\.25", CARD.read_text("utf-8"))
    if found is None:
        raise SystemExit(f"{CARD}: does not say how far the margin 1.2 is above 1.25")
    text = (
        "The 12 people are not wholly untouched: they had been measured once, and 1.2 had been "
        "better on them, before FastPose-M's margin round the box was changed from 1.25 to 1.2 "
        f"(OKS with true boxes now: {was['oks_true_boxes']} and {now['oks_true_boxes']}). On the "
        f"held-out crops 1.2 gains {found[1]} of OKS, so they hardly tell the two apart. The key "
        "points have no test split: the held-out crops are of val, on which weights, decoding and "
        "margin were chosen."
    )
    return textwrap.fill(text, 100)


def speed() -> str:
    rows = _csv("pipeline.csv")
    table = _table(("stage", "value"), [(r["what"], f"{r['value']} {r['unit']}") for r in rows])
    return f"{table}\n\n{rows[0]['setting']}."


def _row(name: str, **where: str) -> dict[str, str]:
    """The one row of a table that has these values."""
    rows = [r for r in _csv(name) if all(r.get(column) == v for column, v in where.items())]
    if len(rows) != 1:
        asked = " and ".join(f"{column} {value!r}" for column, value in where.items())
        raise SystemExit(
            f"results/{name}: {len(rows)} rows with {asked} where one is needed; CONTRIBUTING.md "
            "has the command that makes the whole file"
        )
    return rows[0]


def _mean(row: dict[str, str]) -> str:
    return _share(float(row["test_top1_mean"]))


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _share(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if value < 1 else f"{value:.3f}"


def _json(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((RESULTS / name).read_text("utf-8"))
    return loaded


def _csv(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


BLOCKS = {"picture": picture, "accuracy": accuracy, "speed": speed}


if __name__ == "__main__":
    main()
