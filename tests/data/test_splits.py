"""Splits: nothing leaks, proportions hold, files say the same again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from keyact.data import Dataset, Sample, load_dataset
from keyact.data.leakage import LeakageError, exact_duplicates, find_leaks, refuse_leaks
from keyact.data.splits import (
    METHODS,
    drop_leaks,
    make_splits,
    read_split,
    refuse_changes,
    save_splits,
    with_splits,
)
from keyact.errors import InputError, KeyactError, UnknownNameError

ROOT = Path("/nowhere/set")


def dataset(*samples: tuple[str, str | None, str | None], root: Path = ROOT) -> Dataset:
    made = tuple(Sample(root / name, label, None, group) for name, label, group in samples)
    labels = tuple(sorted({s.label for s in made if s.label is not None}))
    return Dataset("set", root, made, labels)


def plain(per_label: int = 40, groups: int | None = None) -> Dataset:
    return dataset(
        *(
            (f"{label}/{i}.jpg", label, None if groups is None else f"g{(i * 7 + at) % groups}")
            for at, label in enumerate(("run", "sit", "jump"))
            for i in range(per_label)
        )
    )


def sides(fold: Dataset) -> Counter[str | None]:
    return Counter(sample.split for sample in fold.samples)


def shares(fold: Dataset, split: str) -> dict[str | None, float]:
    counts = Counter(s.label for s in fold.samples if s.split == split)
    return {label: n / sum(counts.values()) for label, n in counts.items()}


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.2, 0.1), (0.0, 0.25), (0.3, 0.0)])
def test_shares_and_proportions(val: float, test: float) -> None:
    (fold,) = make_splits(plain(100), "stratified", val=val, test=test)
    counts = sides(fold)
    assert counts["val"] == pytest.approx(300 * val, abs=9)
    assert counts["test"] == pytest.approx(300 * test, abs=9)
    for split in ("train", "val", "test"):
        if counts[split]:
            for share in shares(fold, split).values():
                assert share == pytest.approx(1 / 3, abs=0.04)
    assert [s.path for s in fold.samples] == [s.path for s in plain(100).samples]


def test_the_seed_decides() -> None:
    first, again, other = (make_splits(plain(), seed=seed)[0] for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("method", ["grouped", "k-fold"])
def test_groups_stay_whole(method: str) -> None:
    data = plain(60, groups=20)
    folds = make_splits(data, method, k=4)
    assert len(folds) == (4 if method == "k-fold" else 1)
    for fold in folds:
        assert {s.split for s in fold.samples} == {"train", "val", "test"}
        assert not list(find_leaks(fold, []))
        for split in ("train", "test"):
            assert max(shares(fold, split).values()) < 0.5
    if method == "k-fold":
        tested = Counter(s.path for fold in folds for s in fold.samples if s.split == "test")
        assert set(tested.values()) == {1} and len(tested) == len(data)


def test_a_fold_for_each_group() -> None:
    folds = make_splits(plain(30, groups=5), "leave-one-group-out", val=0)
    left_out = [{s.group for s in fold.samples if s.split == "test"} for fold in folds]
    assert sorted(group for (group,) in left_out) == ["g0", "g1", "g2", "g3", "g4"]
    assert all(sides(fold)["val"] == 0 for fold in folds)


def test_a_plain_split_of_grouped_samples_is_refused_with_examples() -> None:
    with pytest.raises(
        LeakageError, match=r"group 'g\d+' \(\w+/\d+\.jpg in \w+ and .*--method grouped"
    ):
        make_splits(plain(60, groups=20), "stratified")


def test_unlabelled_samples_are_in_no_split() -> None:
    data = plain(20)
    data = replace(data, samples=(*data.samples, Sample(ROOT / "x.jpg", None, "test")))
    (fold,) = make_splits(data)
    assert fold.samples[-1].split is None and sides(fold)[None] == 1


def copies(root: Path) -> Dataset:
    """Ten photos of each label; the first of one label is also the first two of the other."""
    for label in ("run", "sit"):
        (root / label).mkdir(parents=True)
        for i in range(10):
            same = i == 0 or (label == "sit" and i == 1)
            (root / label / f"{i}.jpg").write_bytes(b"same" if same else f"{label}{i}".encode())
    return load_dataset(root, format="class-folders")


def test_copies_of_a_photo_stay_on_one_side(tmp_path: Path) -> None:
    data = copies(tmp_path)
    (found,) = exact_duplicates(s.path for s in data.samples)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "run/0.jpg",
        "sit/0.jpg",
        "sit/1.jpg",
    ]
    for seed in range(6):
        (fold,) = make_splits(data, val=0.2, test=0.2, seed=seed)
        assert len({s.split for s in fold.samples if s.path in found}) == 1


def test_official_splits_that_share_copies(tmp_path: Path) -> None:
    data = copies(tmp_path)
    official = with_splits(data, ["test"] * 2 + ["train"] * 8 + ["val"] + ["train"] * 9)
    with pytest.raises(
        LeakageError, match=r"copies of a photo run/0\.jpg \(run/0\.jpg in test and sit/0"
    ):
        make_splits(official, "official")
    kept = drop_leaks(official)
    assert make_splits(kept, "official") == [kept]
    assert [s.split for s in kept.samples if s.path.name in "0.jpg 1.jpg"] == [
        "test", "test", None, None,
    ]  # fmt: skip
    assert len(kept.problems) == 2 and "sit/0.jpg: taken out of val" in kept.problems[0]
    with pytest.raises(KeyactError, match="has no splits of its own"):
        make_splits(data, "official")


def test_a_photo_of_two_people_is_on_one_side() -> None:
    one = [Sample(ROOT / "a.jpg", "run", "train", box=(0, 0, 5, 5))]
    two = [Sample(ROOT / "a.jpg", "sit", "test", box=(5, 0, 9, 5))]
    data = Dataset("set", ROOT, (*one, *two), ("run", "sit"))
    with pytest.raises(LeakageError, match=r"photo listed twice set/a\.jpg"):
        refuse_leaks(data)
    many = tuple(
        Sample(ROOT / f"{i // 2}.jpg", ("run", "sit")[i % 2], box=(i, 0, i + 1, 1))
        for i in range(80)
    )
    (fold,) = make_splits(replace(data, samples=many))
    assert not list(find_leaks(fold, []))


@pytest.mark.parametrize("method", ["stratified", "k-fold"])
def test_files_say_the_same_again(method: str, tmp_path: Path) -> None:
    data = plain(20, groups=None if method == "stratified" else 30)
    boxed = replace(data.samples[3], box=(1.5, 2, 30.25, 40))
    data = replace(data, samples=(*data.samples[:3], boxed, *data.samples[4:]))
    folds = make_splits(data, method, k=3)
    paths = save_splits(folds, tmp_path / "new" / "folder")
    names = ["split.csv"] if method == "stratified" else ["fold-1.csv", "fold-2.csv", "fold-3.csv"]
    assert [path.name for path in paths] == names
    for fold, path in zip(folds, paths, strict=True):
        assert read_split(data, path) == fold
        as_manifest = load_dataset(path, root=ROOT)
        assert as_manifest.samples == fold.samples
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == names


def test_folds_of_two_splits_are_not_mixed(tmp_path: Path) -> None:
    data = plain(20, groups=30)
    five = make_splits(data, "k-fold", k=5)
    save_splits(five, tmp_path)
    save_splits(five, tmp_path)  # the same again
    with pytest.raises(KeyactError, match=r"has fold-4\.csv, fold-5\.csv of another split"):
        save_splits(make_splits(data, "k-fold", k=3), tmp_path)


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    data = plain(20, groups=30)
    (path,) = save_splits(make_splits(data, "grouped"), tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], "gone.jpg,run,test,g1"]))
    changed = read_split(data, path)
    assert ["does not list jump/19.jpg" in p for p in changed.problems] == [True, False]
    assert "gone.jpg: no such sample" in changed.problems[1]
    assert changed.samples[-1].split is None

    crossed = {",train,": ",test,", ",test,": ",train,"}
    for place, line in enumerate(lines):
        if place % 2:
            old = next((split for split in crossed if split in line), ",val,")
            lines[place] = line.replace(old, crossed.get(old, old))
    path.write_text("\n".join(lines))
    with pytest.raises(LeakageError, match="group 'g"):
        read_split(data, path)
    assert list(find_leaks(read_split(data, path, refuse=False), []))

    path.write_text("path,split\nrun/0.jpg,train\nrun/0.jpg,test\n")
    with pytest.raises(InputError, match=r"row 3: run/0\.jpg is in two splits"):
        read_split(data, path)
    path.write_text("path,split\nelsewhere.jpg,train\n")
    with pytest.raises(InputError, match="of another data set"):
        read_split(data, path)


def test_groups_are_read_with_the_splits(tmp_path: Path) -> None:
    grouped = plain(20, groups=30)
    (path,) = save_splits(make_splits(grouped, "grouped"), tmp_path)
    assert read_split(plain(20), path).samples == read_split(grouped, path).samples
    other = replace(grouped, samples=tuple(replace(s, group="mine") for s in grouped.samples))
    assert {s.group for s in read_split(other, path, refuse=False).samples} == {"mine"}

    text = "path,split,group\nrun/0.jpg,train,one\nrun/1.jpg,val,one\n"
    path.write_text(text)
    with pytest.raises(LeakageError, match=r"group 'one' \(run/0\.jpg in train and run/1\.jpg in"):
        read_split(plain(2), path)


def test_two_people_of_one_photo_keep_their_groups(tmp_path: Path) -> None:
    people = tuple(
        Sample(ROOT / "a.jpg", label, "train", group, box)
        for label, group, box in (("run", "g1", (0, 0, 5, 5)), ("sit", "g2", (5, 0, 9, 5)))
    )
    data = Dataset("set", ROOT, people, ("run", "sit"))
    (path,) = save_splits([data], tmp_path)
    bare = replace(data, samples=tuple(replace(s, group=None) for s in people))
    assert read_split(bare, path) == data


def test_copies_on_two_sides_of_a_file_are_told_and_not_refused(tmp_path: Path) -> None:
    data = copies(tmp_path / "set")
    crossed = ["test"] * 2 + ["train"] * 8 + ["val"] + ["train"] * 9
    (path,) = save_splits([with_splits(data, crossed)], tmp_path / "splits")
    (problem,) = read_split(data, path).problems
    assert "on two sides (1): copies of a photo run/0.jpg (run/0.jpg in test and sit/0" in problem
    assert "keyact data split --method official --drop-leaks" in problem
    assert read_split(data, path, refuse=False).problems == ()
    (clean,) = save_splits([drop_leaks(with_splits(data, crossed))], tmp_path / "clean")
    assert read_split(data, clean).problems == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "sit"}, r"run/1\.jpg was run in val, and is sit in val now"),
        ({"split": "train"}, r"run/1\.jpg was run in val, and is run in train now"),
        ({"split": None}, r"run/1\.jpg was run in val, and is run in no split now"),
        ({"path": ROOT / "b.jpg"}, r"b\.jpg was not there, and is run in val now \(2 differ\)"),
    ],
)
def test_a_run_goes_on_with_the_samples_that_it_was_begun_with(
    change: dict, said: str, tmp_path: Path
) -> None:
    data = with_splits(plain(2), ["train", "val"] * 3)
    refuse_changes(data, tmp_path)  # of an old run, that did not write them
    save_splits([data], tmp_path)
    refuse_changes(data, tmp_path)
    first, second, *rest = data.samples
    refuse_changes(replace(data, samples=(second, first, *rest)), tmp_path)
    changed = replace(data, samples=(first, replace(second, **change), *rest))
    with pytest.raises(InputError, match=f"begun with other data: {said}; .*another --name"):
        refuse_changes(changed, tmp_path)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (plain(), {"method": "grouped"}, "has no groups"),
        (plain(), {"method": "leave-one-group-out"}, "have no group"),
        (plain(10, groups=1), {"method": "leave-one-group-out"}, "1 groups make 1 folds"),
        (plain(), {"val": 0.5, "test": 0.5}, "leave nothing to train on"),
        (plain(), {"method": "k-fold", "k": 1}, "folds is 2 to"),
        (plain(3), {"method": "k-fold", "k": 9}, "too few samples for 9 parts"),
        (dataset(("a.jpg", "run", None), ("b.jpg", "sit", None)), {}, "too few|left to train on"),
        (dataset(("a.jpg", None, None)), {}, "no sample has a label"),
    ],
)
def test_what_cannot_be_split(data: Dataset, options: dict, said: str) -> None:
    with pytest.raises(KeyactError, match=said):
        make_splits(data, **options)


def test_unknown_methods_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'stratified'"):
        make_splits(plain(), "stratifed")
    assert set(METHODS) == {
        "stratified", "grouped", "k-fold", "leave-one-group-out", "official",
    }  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=40, max_size=120))
def test_no_split_ever_leaks(members: list[tuple[int, int]]) -> None:
    data = dataset(*((f"{i}.jpg", f"l{a}", f"g{g}") for i, (a, g) in enumerate(members)))
    for method in ("grouped", "k-fold"):
        try:
            folds = make_splits(data, method, k=3, val=0.2, test=0.2)
        except KeyactError as error:
            assert not isinstance(error, LeakageError)
            continue
        for fold in folds:
            assert not list(find_leaks(fold, []))
            assert len(fold) == len(data) and all(s.split for s in fold.samples)
