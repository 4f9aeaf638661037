"""What every format of data sets must keep to. A new format needs an `Example` here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyact.data import FORMATS, Dataset, load_dataset
from keyact.data.base import child, split_name
from keyact.errors import InputError, KeyactError, UnknownNameError

Row = tuple[str, str | None, str | None, str | None, tuple[float, ...] | None]


def put(root: Path, *names: str, text: str = "") -> None:
    """Files; no reader of a data set opens its photos."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")


@dataclass(frozen=True)
class Example:
    """A small data set of a format.

    Attributes
    ----------
    make : writes it into an empty folder.
    samples : what it must be read into, paths told from the data set's ``root``.
    damage : adds one entry that cannot be used.
    said : what the only problem must say then.
    kind : of the samples.
    """

    make: Callable[[Path], None]
    samples: list[Row]
    damage: Callable[[Path], None]
    said: str
    kind: str = "photos"


def folders(suffix: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        put(root, f"run/a{suffix}", f"run/deep/b{suffix}", f"sit/c{suffix}", "README.txt")

    return make


def append(name: str, line: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(line)

    return damage


def kaggle(root: Path) -> None:
    put(root, "train/1.jpg", "train/2.jpg", "test/1.jpg")
    put(root, "Training_set.csv", text="filename,label\n1.jpg,run\n2.jpg,sit\n")
    put(root, "Testing_set.csv", text="filename\n1.jpg\n")


def stanford(root: Path) -> None:
    put(root, "ImageSplits/actions.txt", text="action_name\tnumber\nsit\t2\nrun\t1\n")
    put(root, "ImageSplits/run_train.txt", text="run_001.jpg\n")
    put(root, "ImageSplits/run_test.txt")
    put(root, "ImageSplits/sit_train.txt", text="sit_001.jpg\n")
    put(root, "ImageSplits/sit_test.txt", text="sit_002.jpg\n")
    put(root, "ImageSplits/train.txt", "ImageSplits/test.txt")
    for number, name in enumerate(("run_001", "sit_001", "sit_002")):
        put(root, f"JPEGImages/{name}.jpg")
        boxes = "".join(
            f"<object><name>person</name><action>{action}</action><bndbox><xmax>{x + 30}</xmax>"
            f"<xmin>{x}</xmin><ymax>90</ymax><ymin>5</ymin></bndbox></object>"
            for action, x in ((name[:3], 10 + number), ("jump", 1))
        )
        put(root, f"XMLAnnotations/{name}.xml", text=f"<annotation>{boxes}</annotation>")


def alphapose(root: Path) -> None:
    points = [float(value) for joint in range(17) for value in (20 + joint, 30 + joint, 0.9)]
    people = [
        {"image_id": name, "category_id": 1, "keypoints": points, "score": 2.0, "box": box}
        for name, box in (
            ("a.jpg", [5, 5, 10, 10]),
            ("a.jpg", [1, 2, 40, 50]),
            ("b.jpg", [3, 4, 5, 6]),
        )
    ]
    put(root, "alphapose-results.json", text=json.dumps(people))
    put(root, "labels.csv", text="path,label,split\na.jpg,run,train\nb.jpg,sit,test\nc.jpg,sit,\n")
    put(root, "images/a.jpg", "images/b.jpg", "images/c.jpg")


EXAMPLES: dict[str, Example] = {
    "class-folders": Example(
        folders(".jpg"),
        [
            ("run/a.jpg", "run", None, None, None),
            ("run/deep/b.jpg", "run", None, None, None),
            ("sit/c.jpg", "sit", None, None, None),
        ],
        lambda root: put(root, "run/notes.doc"),
        "notes.doc: is left out",
    ),
    "manifest": Example(
        lambda root: put(
            root,
            "manifest.csv",
            text="path,label,split,group,x1,y1,x2,y2\na.jpg,run,train,g1,1,2,30.5,40\n"
            "deep/b.jpg,sit,Validation,,,,,\nc.jpg,,test,g2,,,,\n",
        ),
        [
            ("a.jpg", "run", "train", "g1", (1, 2, 30.5, 40)),
            ("deep/b.jpg", "sit", "val", None, None),
            ("c.jpg", None, "test", "g2", None),
        ],
        append("manifest.csv", "../../secret.jpg,run,train,,,,,\n"),
        "row 5: '../../secret.jpg' leads out of",
    ),
    "kaggle-har": Example(
        kaggle,
        [
            ("train/1.jpg", "run", "train", None, None),
            ("train/2.jpg", "sit", "train", None, None),
            ("test/1.jpg", None, "test", None, None),
        ],
        lambda root: put(root, "train/3.jpg"),
        "3.jpg: is left out, as Training_set.csv does not list it",
    ),
    "stanford40": Example(
        stanford,
        [
            ("JPEGImages/sit_001.jpg", "sit", "train", None, (11, 5, 41, 90)),
            ("JPEGImages/sit_002.jpg", "sit", "test", None, (12, 5, 42, 90)),
            ("JPEGImages/run_001.jpg", "run", "train", None, (10, 5, 40, 90)),
        ],
        append("ImageSplits/run_train.txt", "../secret.jpg\n"),
        "run_train.txt: line 2: '../secret.jpg' leads out of",
    ),
    "coco-actions": Example(
        alphapose,
        [
            ("a.jpg", "run", "train", None, (1, 2, 41, 52)),
            ("b.jpg", "sit", "test", None, (3, 4, 8, 10)),
            ("c.jpg", "sit", None, None, None),
        ],
        append("labels.csv", "d.jpg,sit,holdout\n"),
        "row 5: the split 'holdout' is none of train, val and test",
    ),
    "video-folders": Example(
        folders(".mp4"),
        [
            ("run/a.mp4", "run", None, None, None),
            ("run/deep/b.mp4", "run", None, None, None),
            ("sit/c.mp4", "sit", None, None, None),
        ],
        lambda root: put(root, "sit/still.png"),
        "still.png: is left out; the format class-folders reads it",
        kind="videos",
    ),
}


def rows(dataset: Dataset) -> list[Row]:
    return [
        (s.path.relative_to(dataset.root).as_posix(), s.label, s.split, s.group, s.box)
        for s in dataset.samples
    ]


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Example, Path]:
    root = tmp_path / "set"
    root.mkdir()
    chosen = EXAMPLES[request.param]
    chosen.make(root)
    return request.param, chosen, root


def test_every_format_has_an_example() -> None:
    assert set(EXAMPLES) == set(FORMATS)
    assert all(FORMATS[name].name == name and FORMATS[name].summary for name in FORMATS)


def test_it_is_told_by_its_files_and_read_whole(example: tuple[str, Example, Path]) -> None:
    name, wanted, root = example
    dataset = load_dataset(root)
    assert (dataset.format, dataset.kind, dataset.name) == (name, wanted.kind, "set")
    assert rows(dataset) == wanted.samples
    assert dataset.problems == ()
    assert dataset.root.is_absolute()
    assert set(dataset.labels) == {"run", "sit"}
    assert load_dataset(str(root), format=name) == dataset


def test_what_cannot_be_used_is_said_and_the_rest_is_read(
    example: tuple[str, Example, Path],
) -> None:
    _, wanted, root = example
    wanted.damage(root)
    dataset = load_dataset(root)
    assert rows(dataset) == wanted.samples
    (problem,) = dataset.problems
    assert wanted.said in problem


def test_an_archive_may_have_unpacked_into_a_folder_of_its_own(
    example: tuple[str, Example, Path],
) -> None:
    _, wanted, root = example
    assert rows(load_dataset(root.parent)) == wanted.samples


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_dataset(tmp_path, format=name)


@pytest.mark.parametrize("name", FORMATS)
def test_unknown_options_suggest_the_nearest(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="labls"):
        load_dataset(tmp_path, format=name, labls="x")


def test_class_folders_below_split_folders(tmp_path: Path) -> None:
    put(tmp_path, "train/run/a.jpg", "valid/run/b.jpg", "test/sit/c.jpg", "other/sit/d.jpg")
    put(tmp_path, "train/stray.jpg")
    dataset = load_dataset(tmp_path)
    assert [(s.path.name, s.label, s.split) for s in dataset.samples] == [
        ("c.jpg", "sit", "test"),
        ("a.jpg", "run", "train"),
        ("b.jpg", "run", "val"),
    ]
    assert [len(dataset.subset(split)) for split in ("train", "val", "test")] == [1, 1, 1]
    assert len(dataset.problems) == 2
    assert "other: is no split" in dataset.problems[0]
    assert "stray.jpg: is in no label's folder" in dataset.problems[1]


def test_groups_from_file_names(tmp_path: Path) -> None:
    put(tmp_path, "Run/v_Run_g01_c01.avi", "Run/v_Run_g01_c02.avi", "Sit/v_Sit_g02_c01.avi")
    dataset = load_dataset(tmp_path, group_pattern="(v_.*_g[0-9]+)_c")
    assert [s.group for s in dataset.samples] == ["v_Run_g01", "v_Run_g01", "v_Sit_g02"]
    assert "no group" in load_dataset(tmp_path, group_pattern="(x)").problems[0]
    for wrong in ("(", "v_"):
        with pytest.raises(KeyactError, match="group_pattern"):
            load_dataset(tmp_path, group_pattern=wrong)


def test_a_parquet_manifest_says_the_same_as_csv(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    columns = {"path": ["a.jpg", "b.jpg"], "label": ["run", None], "group": [7, 8], "more": [0, 0]}
    parquet.write_table(arrow.table(columns), tmp_path / "manifest.parquet")
    assert rows(load_dataset(tmp_path)) == [
        ("a.jpg", "run", None, "7", None),
        ("b.jpg", None, None, "8", None),
    ]
    put(tmp_path, "manifest.csv", text="path,label\na.jpg,run\n")
    with pytest.raises(InputError, match="give the path of one table"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path / "manifest.csv")) == 1
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a Parquet file"):
        load_dataset(tmp_path / "broken.parquet")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.jpg,run\n", "has no column path"),
        ("path,label,splt\na.jpg,run,train\n", "has a column 'splt'; call it 'split'"),
        ("path,label,grp\na.jpg,run,one\n", "has a column 'grp'; call it 'group'"),
        ("path,label\n", "has no photos that could be used"),
        ("path,label\na\x00b.jpg,run\n", "no photos that could be used|not a CSV table"),
        ("", "has no column path and no column label"),
    ],
)
def test_a_manifest_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    put(tmp_path, "table.csv", text=text)
    with pytest.raises(InputError, match=said):
        load_dataset(tmp_path / "table.csv")


def test_manifests_of_spreadsheets_and_other_folders(tmp_path: Path) -> None:
    put(tmp_path, "lists/de.csv", text="\ufeffPath ;Label;Split\nsub\\a.jpg;Laufen, schnell;dev\n")
    dataset = load_dataset(tmp_path / "lists" / "de.csv", root=tmp_path)
    assert rows(dataset) == [("sub/a.jpg", "Laufen, schnell", "val", None, None)]
    put(tmp_path, "mixed.csv", text="path,label\na.jpg,run\nb.mp4,run\n")
    with pytest.raises(InputError, match="photos and videos"):
        load_dataset(tmp_path / "mixed.csv")


def test_more_than_one_format_fits(tmp_path: Path) -> None:
    put(tmp_path, "run/a.jpg", "sit/b.jpg", "manifest.csv", text="path,label\nrun/a.jpg,run\n")
    with pytest.raises(InputError, match=r"could be class-folders or manifest; .*--format class"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, "class-folders")) == 2
    assert len(load_dataset(tmp_path, "manifest")) == 1
    with pytest.raises(UnknownNameError, match="did you mean 'manifest'"):
        load_dataset(tmp_path, "manifset")
    with pytest.raises(InputError, match="no such file or folder"):
        load_dataset(tmp_path / "absent")
    put(tmp_path, "plain/notes.txt")
    with pytest.raises(InputError, match="of no known format; make a folder per label"):
        load_dataset(tmp_path / "plain")


def coco(names: list[str], annotations: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "info": {},
            "images": [{"id": i, "file_name": name} for i, name in enumerate(names, 1)],
            "categories": [
                {"id": 0, "name": "yoga"},
                {"id": 2, "name": "sit"},
                {"id": 1, "name": "run"},
            ],
            "annotations": annotations,
        }
    )


def test_coco_whose_categories_are_the_actions(tmp_path: Path) -> None:
    boxes = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [5, 5, 4, 4]},
        {"id": 3, "image_id": 9, "category_id": 1, "bbox": [5, 5, 4, 4]},
        {"id": 4, "image_id": 2, "category_id": 1, "bbox": [5, 5, 0, 4]},
        {"id": 5, "image_id": 2, "category_id": 1, "iscrowd": 1, "bbox": [5, 5, 4, 4]},
    ]
    put(tmp_path, "train/_annotations.coco.json", text=coco(["a.jpg", "b.jpg"], boxes))
    put(tmp_path, "valid/_annotations.coco.json", text=coco(["c.jpg"], boxes[:1]))
    dataset = load_dataset(tmp_path)
    assert rows(dataset) == [
        ("train/a.jpg", "run", "train", None, (1, 2, 11, 22)),
        ("train/a.jpg", "sit", "train", None, (5, 5, 9, 9)),
        ("valid/c.jpg", "run", "val", None, (1, 2, 11, 22)),
    ]
    assert dataset.labels == ("sit", "run")  # in the file's order; yoga has no annotation
    said = " ".join(dataset.problems)
    for part in ("no image 9", "has no area", "b.jpg: has no annotation"):
        assert part in said


def test_coco_that_does_not_say_who_does_what(tmp_path: Path) -> None:
    people = {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [],
              "categories": [{"id": 1, "name": "person"}]}  # fmt: skip
    put(tmp_path, "people.json", text=json.dumps(people))
    with pytest.raises(InputError, match="--labels FILE"):
        load_dataset(tmp_path / "people.json")


def test_labels_for_coco_results_are_found_by_number(tmp_path: Path) -> None:
    points = [1.0, 2.0, 0.5] * 17
    people = [{"image_id": 12, "category_id": 1, "keypoints": points, "score": 0.5},
              {"image_id": 99, "category_id": 1, "keypoints": points, "score": 0.5}]  # fmt: skip
    put(tmp_path, "person.json", text=json.dumps(people))
    put(tmp_path, "actions.csv", text="path,label\n000000000012.jpg,run\n")
    dataset = load_dataset(tmp_path / "person.json", labels=tmp_path / "actions.csv")
    assert dataset.samples[0].box is not None
    assert "99: is in the JSON, but the label file has no label" in dataset.problems[0]


FOLDERS = ("badminton", "baseball", "golf")


@pytest.mark.parametrize("style", ["coco", "alphapose", "backslashes"])
def test_photos_of_one_name_in_several_folders_keep_their_boxes(style: str, tmp_path: Path) -> None:
    points = [1.0, 2.0, 0.5] * 17
    slash = "\\" if style == "backslashes" else "/"
    names = [f"{folder}{slash}1.jpg" for folder in FOLDERS[:2]]  # nobody plays golf
    boxes = [[10 * i, 0, 5, 5] for i in range(2)]
    if style == "alphapose":
        people: Any = [
            {"image_id": name, "category_id": 1, "keypoints": points, "score": 1.0, "box": box}
            for name, box in zip(names, boxes, strict=True)
        ]
    else:
        people = json.loads(
            coco(names, [{"image_id": i + 1, "bbox": box} for i, box in enumerate(boxes)])
        )
    put(tmp_path, "people.json", text=json.dumps(people))
    rows_of = "".join(f"{folder}/1.jpg,{folder}\n" for folder in FOLDERS)
    put(tmp_path, "labels.csv", text=f"path,label\n{rows_of}")
    dataset = load_dataset(tmp_path)
    assert [sample.box for sample in dataset.samples] == [(0, 0, 5, 5), (10, 0, 15, 5), None]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["c/1.jpg", "d/1.jpg"], ["1.jpg"]),
        (["1"], ["a/x_001.jpg", "b/x_01.jpg"]),
    ],
)
def test_a_short_name_of_two_photos_gives_neither_a_box(
    names: list[str], listed: list[str], tmp_path: Path
) -> None:
    annotations = [{"image_id": i, "bbox": [0, 0, 5, 5]} for i in range(1, len(names) + 1)]
    put(tmp_path, "people.json", text=coco(names, annotations))
    put(tmp_path, "labels.csv", text="path,label\n" + "".join(f"{n},run\n" for n in listed))
    dataset = load_dataset(tmp_path)
    assert [sample.box for sample in dataset.samples] == [None] * len(listed)
    assert len(dataset.problems) == len(listed)
    assert (
        f"is the name of {len(names)} photos in the JSON and {len(listed)} in the label"
        in (dataset.problems[0])
    )
    assert f"write it as {listed[0]} in the JSON" in dataset.problems[0]


@pytest.mark.parametrize("place", ["images", "images/default", "annotations", "annotations/images"])
@pytest.mark.parametrize("table", [False, True])
def test_photos_of_annotations_in_a_folder_of_their_own(
    place: str, table: bool, tmp_path: Path
) -> None:
    """As CVAT exports them."""
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20]}
    file = tmp_path / "annotations" / "instances_default.json"
    put(tmp_path, "annotations/instances_default.json", text=coco(["a.jpg"], [box]))
    put(tmp_path, f"{place}/a.jpg", "images/default/other.jpg")
    if table:
        put(tmp_path, "annotations/labels.csv", text="path,label\na.jpg,run\n")
    dataset = load_dataset(file)
    (sample,) = dataset.samples
    assert sample.path == tmp_path / place / "a.jpg" and sample.path.is_relative_to(dataset.root)
    assert (sample.label, sample.box) == ("run", (1, 2, 11, 22))
    assert dataset.problems == ()


@pytest.mark.parametrize(
    "xml",
    [
        "<annotation></annotation>",
        "<annotation><object>",
        '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><annotation>&z;</annotation>',
        "<annotation><object><bndbox><xmin>9</xmin></bndbox></object></annotation>",
    ],
)
def test_an_annotation_that_is_no_box_costs_the_box_only(xml: str, tmp_path: Path) -> None:
    stanford(tmp_path)
    put(tmp_path, "XMLAnnotations/sit_002.xml", text=xml)
    dataset = load_dataset(tmp_path)
    assert [sample.box is None for sample in dataset.samples] == [False, True, False]
    (problem,) = dataset.problems
    assert "sit_002.xml: gives no box" in problem


def test_a_subset_keeps_the_label_indices(tmp_path: Path) -> None:
    EXAMPLES["manifest"].make(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.subset("validation").targets().tolist() == [1]
    assert dataset.labelled().targets().dtype == np.intp
    with pytest.raises(KeyactError, match="has no label"):
        dataset.targets()
    put(tmp_path, "m.csv", text="path,label,split\na.jpg,run,train\n")
    with pytest.raises(KeyactError, match=r"split 'test' \(splits: train\)"):
        load_dataset(tmp_path / "m.csv").subset("test")


@given(st.text(max_size=40))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    root = Path("/data/set")
    try:
        path = child(root, name)
    except ValueError:
        return
    assert path.is_relative_to(root) and ".." not in path.parts


@given(st.sampled_from(["train", "Training ", "VAL", "valid", "dev", "test", "Testing"]))
def test_splits_have_one_name(text: str) -> None:
    assert split_name(text) in ("train", "val", "test")
    assert split_name("x" + text) is None
