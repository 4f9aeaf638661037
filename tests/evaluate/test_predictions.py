from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyact import Recognizer, action
from keyact.data import Dataset, Sample
from keyact.data.people import find_people
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.evaluate import Predictions, load_predictions, photos_of, predict_dataset, predictions

TINY = {"detector": "tiny-detector", "pose": "tiny-pose"}


def make(rows: int = 6, seed: int = 0, **changes: Any) -> Predictions:
    rng = np.random.default_rng(seed)
    parts: dict[str, Any] = {
        "labels": ("run", "swim", "sit still"),
        "paths": tuple(f"photos/{i}.jpg" for i in range(rows)),
        "targets": rng.integers(0, 3, rows),
        "probabilities": rng.dirichlet((1, 1, 1), rows).astype(np.float32),
        "groups": tuple(f"g{i // 2}" for i in range(rows)),
        "attributes": {"people": rng.integers(0, 3, rows), "light": rng.random(rows).round(3)},
        "model": "tiny",
        "dataset": "made",
        "unknown_threshold": 0.4,
        "failed": ("broken.jpg",),
    }
    return Predictions(**{**parts, **changes})


def same(one: Predictions, other: Predictions) -> None:
    assert one.labels == other.labels
    assert one.paths == other.paths
    assert one.groups == other.groups
    np.testing.assert_array_equal(one.targets, other.targets)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert list(one.attributes) == list(other.attributes)
    for name, value in one.attributes.items():
        np.testing.assert_array_equal(value, other.attributes[name])


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 12), seed=st.integers(0, 99), name=st.sampled_from(("p.npz", "p.csv")))
def test_what_is_saved_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: int, seed: int, name: str
) -> None:
    path = tmp_path_factory.mktemp("kept") / name
    made = make(rows, seed)
    made.save(path)
    read = load_predictions(path)
    same(made, read)
    if path.suffix == ".npz":
        assert (read.model, read.dataset, read.unknown_threshold, read.failed) == (
            made.model,
            made.dataset,
            made.unknown_threshold,
            made.failed,
        )
    assert [entry.name for entry in path.parent.iterdir()] == [name]  # no temporary file is left


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": [0, 1, 3]}, "targets"),
        ({"targets": [0, 1]}, "targets"),
        ({"targets": [0, 1, -1]}, "targets"),
        ({"probabilities": np.full((3, 3), 0.5)}, "sum to 1"),
        ({"probabilities": np.full((3, 3), np.nan)}, "finite"),
        ({"probabilities": np.eye(3)[:, :2]}, "probabilities"),
        ({"labels": ("a", "a", "b")}, "labels"),
        ({"groups": ("a",)}, "groups"),
        ({"attributes": {"people": [1]}}, "people"),
        ({"unknown_threshold": 2.0}, "unknown_threshold"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    parts = {"targets": [0, 1, 2], "probabilities": np.eye(3), "groups": None, "attributes": {}}
    with pytest.raises(ValueError, match=said):
        make(3, **{**parts, **changes})


def test_a_row_may_leave_something_for_none_of_the_labels() -> None:
    made = make(3, targets=[0, 1, 2], probabilities=np.eye(3) * 0.25)
    assert made.right.all() and made.probabilities.sum() == pytest.approx(0.75)


def test_arrays_are_the_objects_own() -> None:
    given_array = np.eye(3, dtype=np.float32)
    made = make(3, targets=[0, 1, 2], probabilities=given_array)
    given_array[:] = 0
    assert made.right.all()
    with pytest.raises(ValueError, match="read-only"):
        made.probabilities[0] = 0


def pickled(path: Path) -> None:
    np.savez(path, schema=np.array(1), labels=np.array([{"no": "dict"}], object))


def huge(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.npy", bytes(3 * 2**20))


SPREADSHEETS = {
    "excel": "\ufeffpath,label,p:run,p:swim\r\na.jpg,run,0.75,0.25\r\nb.jpg,swim,0.5,0.5\r\n",
    "semicolons": "\ufeffpath;label;p:run;p:swim\na.jpg;run;0.75;0.25\nb.jpg;swim;0.5;0.5\n",
    "german": "path;label;p:run;p:swim\na.jpg;run;0,75;0,25\nb.jpg;swim;0,5;0,5\n",
    "tabs": "path\tlabel\tp:run\tp:swim\na.jpg\trun\t0.75\t0.25\nb.jpg\tswim\t0.5\t0.5\n",
    "spaces": 'path, label, p: run, "p:swim"\na.jpg, run, 0.75, 0.25\nb.jpg, "swim" , 0.5, 0.5\n',
    "unnamed": "path,label,p:run,p:swim,,\na.jpg,run,0.75,0.25,,\n\nb.jpg,swim,0.5,0.5,,\n",
}


@pytest.mark.parametrize("text", SPREADSHEETS.values(), ids=SPREADSHEETS.keys())
def test_what_a_spreadsheet_saves_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_bytes(text.encode())
    read = load_predictions(tmp_path / "p.csv")
    assert (read.labels, read.paths) == (("run", "swim"), ("a.jpg", "b.jpg"))
    assert read.targets.tolist() == [0, 1]
    assert read.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label,p:run,p:swim, p:run\nx.jpg,run,1,0,0\n", "two columns are named 'p:run'"),
        ("path,label,label,p:run\nx.jpg,run,run,1\n", "two columns are named 'label'"),
        ("file,label,p:run\nx.jpg,run,1\n", "found are file, label, p:run"),
        ("path,label,p:run\n", "no row below the names"),
    ],
)
def test_columns_that_are_wrong_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        load_predictions(tmp_path / "p.csv")


BAD = {
    "pickled.npz": pickled,
    "huge.npz": huge,
    "text.npz": lambda path: path.write_text("no archive"),
    "other.npz": lambda path: np.savez(path, a=np.zeros(3)),
    "text.csv": lambda path: path.write_text("path,label\nx.jpg,run\n"),
    "label.csv": lambda path: path.write_text("path,label,p:run\nx.jpg,swim,1\n"),
    "number.csv": lambda path: path.write_text("path,label,p:run\nx.jpg,run,much\n"),
    "short.csv": lambda path: path.write_text("path,label,p:run,p:swim\nx.jpg,run\n"),
    "kind.txt": lambda path: path.write_text(""),
    "missing.npz": lambda path: None,
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_predictions_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(predictions, "MAX_BYTES", 2**20)
    BAD[name](tmp_path / name)
    with pytest.raises(InputError, match=name) as caught:
        load_predictions(tmp_path / name)
    assert "\n" not in str(caught.value)


def predict(dataset: Dataset, **options: Any) -> Predictions:
    people = find_people(photos_of(dataset), **TINY, jobs=1)
    return predict_dataset(action.load("tiny-action"), dataset, people, **options)


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_verdict_is_that_of_the_recognizer(photos: Any, jobs: int) -> None:
    found = predict(photos.dataset, jobs=jobs)
    recognizer = Recognizer("tiny-action", "tiny-pose", "tiny-detector", top_k=3)
    for path, row, people in zip(
        found.paths, found.probabilities, found.attributes["people"], strict=True
    ):
        result = recognizer(path)
        expected = {one.label: one.probability for one in result.image_actions}
        assert dict(zip(found.labels, row, strict=True)) == pytest.approx(expected, abs=6e-5)
        assert people == len(result.people)
    assert found.right.mean() == pytest.approx(12 / 13)
    (wrong,) = np.flatnonzero(~found.right)
    assert found.paths[wrong] == str(photos.mislabelled)


def test_attributes_tell_of_the_largest_person(photos: Any) -> None:
    found = predict(photos.dataset)
    red = np.array([label == "red" for label in np.array(found.labels)[found.targets]])
    assert (found.attributes["people"] == red).all()
    share = (50 * 60 / (96 * 128)) ** 0.5
    assert found.attributes["box_size"][red] == pytest.approx(share, abs=0.05)
    assert (found.attributes["box_size"][~red] == 0).all()
    assert (found.attributes["visible_joints"][~red] == 0).all()


def test_a_photo_that_cannot_be_read_is_told_and_left_out(photos: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no photo")
    dataset = replace(photos.dataset, samples=(*photos.dataset.samples, Sample(broken, "red")))
    told: list[str] = []
    found = predict(dataset, on_error=lambda source, error: told.append(source))
    assert told == [str(broken)] == list(found.failed)
    assert len(found) == len(photos.dataset)
    with pytest.raises(InputError, match="broken"):
        predict(dataset)


def test_labels_are_matched_whatever_joins_their_words(tmp_path: Path, photos: Any) -> None:
    samples = tuple(replace(s, label=str(s.label).upper()) for s in photos.dataset.samples)
    dataset = replace(photos.dataset, samples=samples)
    assert predict(dataset).right.mean() == pytest.approx(12 / 13)


def test_an_unknown_label_suggests_the_nearest_or_is_left_out(photos: Any) -> None:
    first, *others = photos.dataset.samples
    dataset = replace(photos.dataset, samples=(replace(first, label="blew"), *others))
    with pytest.raises(UnknownNameError, match="did you mean 'blue'"):
        predict(dataset)
    assert len(predict(dataset, only_known=True)) == len(others)
    nothing = replace(photos.dataset, samples=(replace(first, label="jump"),))
    with pytest.raises(KeyactError, match="no labelled photo"):
        predict(nothing, only_known=True)


def test_persons_are_judged_where_the_data_set_gives_boxes(photos: Any) -> None:
    red = next(s for s in photos.dataset.samples if s.label == "red")
    person = replace(red, box=(42.0, 22.0, 90.0, 80.0))
    corner = replace(red, box=(0.0, 0.0, 20.0, 15.0))  # grey: no colour wins, nobody is there
    found = predict(replace(photos.dataset, samples=(person, corner)))
    assert len(found) == 2
    assert found.attributes["people"].tolist() == [1, 0]
    assert found.confidence[0] > found.confidence[1] + 0.2
    result = Recognizer("tiny-action", "tiny-pose", "tiny-detector")(red.path)
    assert found.confidence[0] == pytest.approx(result.people[0].actions[0].probability, abs=1e-4)
    with pytest.raises(KeyactError, match="box"):
        predict(photos.dataset, verdict="person")


def test_rows_of_no_group_are_not_one_group(photos: Any) -> None:
    first, second, *others = photos.dataset.samples
    samples = (replace(first, group="a"), replace(second, group="a"), *others)
    groups = predict(replace(photos.dataset, samples=samples)).groups
    assert groups is not None
    assert len(set(groups)) == len(samples) - 1
