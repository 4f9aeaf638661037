"""What each choice of the key point stage does to the key points and to the actions.

    python benchmarks/keypoints.py --threads 2                # everything
    python benchmarks/keypoints.py --only decode int8         # the other rows of --out stay

The levers, each turned alone while the others stay as keyact ships them:

flip        average with the mirrored crop
decode      from heatmaps to joints
margin      side of the crop over the side of the box
nms         pose NMS on and off
size        height and width of the crop in pixels: the shipped weights, which were not trained
            anew, in a network of that size (benchmarks/sizes.py)
int8        the network in 8-bit integers (benchmarks/int8.py)
detector    who finds the boxes

and for each setting

oks_true_boxes, oks_detector
            against COCO's labels of 12 people on 4 photos that nothing was trained on, with the
            true boxes and with the detector's (a person not found counts 0). Nothing was chosen
            on them, but the margin was looked at again after a first measurement
teacher_oks, teacher_pck
            agreement with MoveNet Thunder on people of held-out photos (val) in its boxes; the
            labels are those of training.label, and --no-teacher does without
top1        verdicts of the action model on val photos of sports18 that are right, with the
            photos `gained` and `lost` against the shipped setting; the test split is not touched
ms_per_person
            of the pose stage for one person alone, in the true box: crop, network, decoding.
            Neither NMS nor the detector is part of it, so the rows of these levers have none
ms_per_photo_detector
            of the detector, the mean of the 4 photos; in the rows of the lever detector
mb          size of the network

Each measurement but the times is kept in --cache as soon as it is made, under the hashes of the
networks and labels it used, so an interrupted run goes on where it was and a new network is
measured anew. After a change of keyact's own code empty that folder. --out is written at the end.

The times are medians of --runs repetitions in which all settings take turns, at the end of every
run and for all rows of --out, also for those that --only leaves as they are: so equal settings
have one time, and a busy minute is not the misfortune of one of them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from int8 import quantise  # noqa: E402
from keypoint_levers import (  # noqa: E402
    OUTSIDE,
    TRUE_BOXES,
    Estimator,
    Levers,
    NotThisBackend,
    Setting,
    levers,
)
from sizes import resize  # noqa: E402

from keyact import action, detect, pose, weights  # noqa: E402
from keyact.errors import UnknownNameError  # noqa: E402
from keyact.media.image import load_image  # noqa: E402
from keyact.pose.crop import crop_people, crop_transforms  # noqa: E402
from keyact.pose.evaluation import similarity  # noqa: E402
from keyact.pose.onnx_pose import OnnxPose  # noqa: E402
from keyact.replacing import replacing  # noqa: E402

RECIPES = {name: ROOT / "benchmarks" / f"{name}.py" for name in ("int8", "sizes")}
CALIBRATION = 100  # crops of training photos
IN_A_ROW = 5  # timed repetitions of one setting before it is the next one's turn

Key = TypeVar("Key", bound=Hashable)


class Bench:
    """The data, the networks and the measurements."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._photos: dict[Path, np.ndarray] = {}

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Everything about a setting; what has been measured before is read."""
        row: dict[str, Any] = {}
        setting = self.plain(setting)
        of_pose = replace(setting, detector=TRUE_BOXES, nms=True)
        steps: list[tuple[str, Callable[[Setting], dict[str, Any]], Setting, int]] = [
            ("true", self._true_boxes, of_pose, 0)
        ]
        if not self.options.no_teacher:
            steps.append(("teacher", self._teacher, of_pose, self.options.crops))
        if setting.detector != TRUE_BOXES:
            steps += [
                ("detector", self._detector, setting, 0),
                ("action", self._action, setting, self.options.limit),
            ]
        for name, step, how, count in steps:
            row |= self._cached(name, step, how, count)
        return row

    def plain(self, setting: Setting) -> Setting:
        """The same with None for what the network does of itself: equal settings are equal."""
        own = self._network(setting.pose)
        if not isinstance(own, OnnxPose):
            return setting
        return replace(
            setting,
            decode=None if setting.decode == own.decode else setting.decode,
            margin=None if setting.margin == own.margin else setting.margin,
        )

    def pose_times(self, settings: Iterable[Setting]) -> dict[Setting, float]:
        """Milliseconds of the pose stage for one person."""
        photo, known = self._annotated[0]
        box = _corners(known[:1])
        calls = {one: partial(self._estimator(one), photo, box) for one in dict.fromkeys(settings)}
        return in_turns(calls, self.options.runs)

    def detector_times(self, names: Iterable[str]) -> dict[str, float]:
        """Milliseconds of detectors for a photo."""
        photos = [photo for photo, _ in self._annotated]
        calls = {name: partial(_each, self._finder(name), photos) for name in names}
        times = in_turns(calls, self.options.runs)
        return {name: taken / len(photos) for name, taken in times.items()}

    def _cached(
        self, name: str, step: Callable[[Setting], dict[str, Any]], setting: Setting, count: int
    ) -> dict[str, Any]:
        key: dict[str, Any] = {"measurement": name, "count": count, **asdict(setting)}
        key |= {"pose_sha": _sha("pose", setting.pose), "threads": self.options.threads}
        if recipe := _recipe(setting):
            key["recipe_sha"] = _file_sha(recipe)
        if name == "teacher":
            key["labels_sha"] = _file_sha(self.options.labels / "sports18.npz")
        if setting.detector != TRUE_BOXES:
            key["detector_sha"] = _sha("detector", setting.detector)
        if name == "action":
            key["action_sha"] = _sha("action", self.options.action)
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        path = self.options.cache / f"{name}-{digest}.json"
        if path.exists():
            return json.loads(path.read_text())["found"]
        found = step(setting)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps({"key": key, "found": found}, indent=1))
        os.replace(part, path)
        return found

    # What is measured

    def _true_boxes(self, setting: Setting) -> dict[str, Any]:
        estimate, scores = self._estimator(setting), []
        for photo, known in self._annotated:
            for found, person in zip(estimate(photo, _corners(known)), known, strict=True):
                scores.append(oks(found, person))
        return {
            "people": len(scores),
            "oks_true_boxes": round(statistics.fmean(scores), 4),
            "mb": self._megabytes(setting),
        }

    def _detector(self, setting: Setting) -> dict[str, Any]:
        estimate, find = self._estimator(setting), self._finder(setting.detector)
        scores, count = [], 0
        for photo, known in self._annotated:
            boxes, box_scores = find(photo)
            found = estimate.people(photo, boxes, box_scores).keypoints
            count += len(found)
            scores += [max((oks(f, person) for f in found), default=0.0) for person in known]
        return {"oks_detector": round(statistics.fmean(scores), 4), "poses": count}

    def _teacher(self, setting: Setting) -> dict[str, Any]:
        from training.fastpose_m import evaluate

        estimate = self._estimator(setting)
        found = evaluate.of_backend(estimate, self._teacher_crops, self.options.crops)
        return {
            "teacher_oks": found["oks"],
            "teacher_pck": found["pck@0.1"],
            "crops": found["crops"],
        }

    def _action(self, setting: Setting) -> dict[str, Any]:
        estimate, model, right = self._estimator(setting), self._model, ""
        boxes_of = self._boxes(setting.detector)
        for path, label in self._validation:
            image = self._photo(path)
            boxes, scores = boxes_of(path)
            keypoints, kept = estimate.people(image, boxes, scores)
            _, verdict = model(image, boxes[kept], keypoints)
            right += str(int(model.labels[int(verdict.argmax())] == label))
        return {
            "photos": len(right),
            "top1": round(right.count("1") / max(len(right), 1), 4),
            "right": right,
        }

    # What it takes

    @cached_property
    def _annotated(self) -> list[tuple[np.ndarray, list[dict[str, Any]]]]:
        return load_people(self.options.shared / "data" / "media" / "photos")

    @cached_property
    def _teacher_crops(self) -> Any:
        from training.fastpose_m import data

        return data.load(self.options.labels, self.options.shared, {"sports18": "val"})

    @cached_property
    def _validation(self) -> list[tuple[Path, str]]:
        """The same photos each time, of the split that choices are made on."""
        rows = [row for row in self._manifest if row["split"] == "val"]
        chosen = np.random.default_rng(0).permutation(len(rows))[: self.options.limit or None]
        root = self.options.shared / "data" / "sports18"
        return [(root / rows[i]["path"], rows[i]["label"]) for i in chosen]

    @cached_property
    def _manifest(self) -> list[dict[str, str]]:
        path = self.options.shared / "data" / "sports18" / "manifest.csv"
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def _model(self) -> Any:
        return action.load(self.options.action, threads=self.options.threads)

    def _photo(self, path: Path) -> np.ndarray:
        if path not in self._photos:
            self._photos[path] = load_image(path)
        return self._photos[path]

    @cache  # noqa: B019  # one bench lives as long as the program
    def _network(self, name: str) -> Any:
        return pose.load(name, threads=self.options.threads)

    @cache  # noqa: B019
    def _finder(self, name: str) -> Any:
        return detect.load(name, threads=self.options.threads)

    @cache  # noqa: B019
    def _boxes(self, detector: str) -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
        find = self._finder(detector)
        return cache(lambda path: find(self._photo(path)))

    def _estimator(self, setting: Setting) -> Estimator:
        return Estimator(setting, self._made(setting), self.options.threads)

    def _made(self, setting: Setting) -> Path | None:
        """The network in other numbers or of another size; None where it is as it is shipped."""
        recipe = _recipe(setting)
        if recipe is None:
            return None
        if ":" in setting.pose:
            raise NotThisBackend
        what = setting.precision if setting.size is None else setting.size.replace(" ", "")
        made_of = f"{_sha('pose', setting.pose)[:12]}-{_file_sha(recipe)[:12]}"
        target = self.options.cache / f"{what}-{made_of}.onnx"
        if not target.exists():
            part = target.with_suffix(f".{os.getpid()}.part")
            source = Path(weights.resolve("pose", setting.pose).path)
            if setting.size is None:
                quantise(source, part, setting.precision, list(self._calibration(setting)))
            else:
                resize(source, part, setting.size)
            os.replace(part, target)
        return target

    def _calibration(self, setting: Setting) -> Iterator[np.ndarray]:
        """Crops of people on training photos, as the network gets them."""
        rows = [row for row in self._manifest if row["split"] == "train"]
        network = self._network(setting.pose)
        find = self._finder(self.options.detector)
        count = 0
        for i in np.random.default_rng(1).permutation(len(rows)):
            image = load_image(self.options.shared / "data" / "sports18" / rows[i]["path"])
            boxes, _ = find(image)
            where = crop_transforms(boxes[:1], network.input_size, network.margin)
            for crop in crop_people(image, where, network.input_size):
                yield crop[..., ::-1]
                count += 1
            if count >= CALIBRATION:
                return

    def _megabytes(self, setting: Setting) -> float | None:
        if ":" in setting.pose:
            return None
        path = self._made(setting) or Path(weights.resolve("pose", setting.pose).path)
        return round(path.stat().st_size / 1e6, 2)


def in_turns(calls: Mapping[Key, Callable[[], object]], runs: int) -> dict[Key, float]:
    """Median milliseconds of each call, of at least ``runs``.

    They take turns, so that a machine that gets slower does so for all of them. The first call of
    a turn is not counted: it finds in the caches what the one before left there.
    """
    taken: dict[Key, list[float]] = {key: [] for key in calls}
    for _ in range(math.ceil(runs / IN_A_ROW)):
        for key, call in calls.items():
            call()
            for _ in range(IN_A_ROW):
                start = time.perf_counter()
                call()
                taken[key].append((time.perf_counter() - start) * 1000)
    return {key: statistics.median(times) for key, times in taken.items()}


def _each(call: Callable[[Any], object], values: Iterable[Any]) -> None:
    for value in values:
        call(value)


def oks(found: np.ndarray, annotation: dict[str, Any]) -> float:
    """Object keypoint similarity of (17, 3) key points with one COCO annotation."""
    truth = np.array(annotation["keypoints"], float).reshape(17, 3)
    seen = truth[:, 2] > 0
    return float(similarity(found, truth, np.array(annotation["area"]))[seen].mean())


def load_people(photos: Path) -> list[tuple[np.ndarray, list[dict[str, Any]]]]:
    """Photos with their annotated people (those with key points)."""
    table = json.loads((photos / "test_coco.json").read_text())
    return [
        (
            load_image(photos / image["file_name"]),
            [
                person
                for person in table["annotations"]
                if person["image_id"] == image["id"] and person["num_keypoints"] > 0
            ],
        )
        for image in table["images"]
    ]


def _corners(known: list[dict[str, Any]]) -> np.ndarray:
    boxes = np.array([person["bbox"] for person in known], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _recipe(setting: Setting) -> Path | None:
    """The program that makes another network of the shipped one, where the setting asks for it."""
    if setting.size is not None:
        return RECIPES["sizes"]
    return None if setting.precision == "float" else RECIPES["int8"]


@cache
def _sha(kind: str, name: str) -> str:
    """Of the file behind a name; empty where there is none."""
    path = Path(name.partition(":")[2])
    if ":" not in name:
        if kind == "detector" and name in detect.BACKENDS:
            return ""
        path = Path(weights.resolve(kind, name).path)  # type: ignore[arg-type]
    return _file_sha(path)


@cache
def _file_sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


_told: set[str] = set()


def _note(text: str) -> None:
    if text not in _told:
        _told.add(text)
        print(text, file=sys.stderr, flush=True)


COLUMNS = (
    "lever", "value", "oks_true_boxes", "oks_detector", "poses", "people", "teacher_oks",
    "teacher_pck", "crops", "top1", "photos", "gained", "lost", "ms_per_person",
    "ms_per_photo_detector", "mb", "pose", "detector", "threads",
)  # fmt: skip
COUNTS = ("people", "crops", "photos")
JUDGED = ("oks_true_boxes", "oks_detector", "teacher_oks", "teacher_pck", "top1")

Row = dict[str, Any]


def _row(lever: str, value: str, found: Row, base: Row) -> Row:
    row = {"lever": lever, "value": value, **found}
    if "right" in found and "right" in base:
        pairs = list(zip(found["right"], base["right"], strict=True))
        row["gained"] = sum(pair == ("1", "0") for pair in pairs)
        row["lost"] = sum(pair == ("0", "1") for pair in pairs)
    return row


def _kept(options: argparse.Namespace, bench: Bench, table: Levers, shipped: Row) -> list[Row]:
    """Rows of --out of the levers that --only leaves out; they must be of the same measurement."""
    if not options.out.exists():
        return []
    with options.out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = [r for r in rows if r.get("lever") in table and r["lever"] not in options.only]
    base = bench.plain(Setting(options.pose, options.detector))
    for row in rows:
        same = {"pose": options.pose, "threads": options.threads}
        same |= {name: shipped.get(name) for name in COUNTS}
        setting = table[row["lever"]].get(row["value"])
        if setting is not None and bench.plain(setting) == base:  # other weights, or another code
            same |= {name: shipped.get(name) for name in JUDGED}
        if row["lever"] != "detector":
            same["detector"] = options.detector
        for name, now in same.items():
            if now is not None and row.get(name) and row[name] != str(now):
                sys.exit(
                    f"{options.out}: {row['lever']} {row['value']} has {name} {row[name]}, here it "
                    f"is {now}: leave out --only to measure all of it, or give another --out"
                )
    return rows


def _time(rows: Sequence[Row], bench: Bench, table: Levers) -> None:
    """Fill in the times, each where it is measured."""
    settings = {
        i: bench.plain(table[row["lever"]][row["value"]])
        for i, row in enumerate(rows)
        if row["value"] in table[row["lever"]]
    }
    of_pose = {i: one for i, one in settings.items() if rows[i]["lever"] not in OUTSIDE}
    finders = {
        i: one.detector
        for i, one in settings.items()
        if rows[i]["lever"] == "detector" and one.detector != TRUE_BOXES
    }
    pose_ms = bench.pose_times(of_pose.values())
    detector_ms = bench.detector_times(finders.values())
    for i, row in enumerate(rows):
        row["ms_per_person"] = round(pose_ms[of_pose[i]], 2) if i in of_pose else ""
        row["ms_per_photo_detector"] = round(detector_ms[finders[i]], 2) if i in finders else ""


def _write(path: Path, rows: Sequence[Row]) -> None:
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(os.environ.get("KEYACT_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--only", nargs="+", metavar="LEVER", help="these levers; all by default")
    parser.add_argument("--limit", type=int, default=300, help="val photos; 0 takes all")
    parser.add_argument("--crops", type=int, default=300, help="people for the teacher")
    parser.add_argument("--pose", default="fastpose-m")
    parser.add_argument("--detector", default="persondet-m")
    parser.add_argument("--action", default="keypoint-fusion")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=50, help="repetitions of the timing")
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--labels", type=Path, default=ROOT / "work" / "labels")
    parser.add_argument("--no-teacher", action="store_true", help="its columns stay empty")
    parser.add_argument("--cache", type=Path, default=ROOT / "work" / "keypoints")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "keypoints.csv")
    options = parser.parse_args(arguments)
    known = list(levers(Setting("", ""), Path()))
    for lever in options.only or ():
        if lever not in known:
            parser.error(f"no lever {lever!r}; there are {', '.join(known)}")
    options.only = options.only or known
    labels = options.labels / "sports18.npz"
    if not (options.no_teacher or labels.is_file()):
        parser.error(
            f"{labels} is not there: python -m training.label makes it; with --no-teacher the "
            "columns of the teacher stay empty"
        )
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    cv2.setNumThreads(options.threads)
    bench = Bench(options)
    base = Setting(options.pose, options.detector)
    table, shipped = levers(base, options.shared), bench.measure(base)
    rows = _kept(options, bench, table, shipped)
    for lever in options.only:
        for value, setting in table[lever].items():
            start = time.perf_counter()
            try:
                row = _row(lever, value, bench.measure(setting), shipped)
            except (NotThisBackend, UnknownNameError):  # the latter: no such decode method
                _note(f"{lever} {value}: {options.pose} has no such choice")
                continue
            shown = {name: row[name] for name in COLUMNS[2:] if row.get(name) is not None}
            print(f"{lever} {value}: {shown} ({time.perf_counter() - start:.0f} s)", flush=True)
            rows.append(
                row
                | {
                    "pose": options.pose,
                    "detector": value if lever == "detector" else options.detector,
                    "threads": options.threads,
                }
            )
    rows.sort(key=lambda row: list(table).index(row["lever"]))
    _time(rows, bench, table)
    _write(options.out, rows)
    print(f"{options.out}: {len(rows)} settings")


if __name__ == "__main__":
    main()
