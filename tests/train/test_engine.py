from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs the extra: pip install 'keyact[train]'")
pytest.importorskip("tensorflow", reason="training needs the extra: pip install 'keyact[train]'")

from train import engine_case as case

from keyact.errors import InputError, UnknownNameError
from keyact.train.config import load_config
from keyact.train.feed import Batch
from keyact.train.objective import class_weights, objective, one_hot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


# In a phase, where one ends and the next begins, and in the one in which all layers learn.
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_run_gives_what_an_uninterrupted_one_gives(folder: Path, stop: int) -> None:
    assert case.resumed_equals_uninterrupted(folder, stop) <= 1e-6


def test_what_a_run_leaves(folder: Path) -> None:
    if not (folder / "whole").exists():
        case.train(folder, "whole")
    with (folder / "whole" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {"epoch", "seconds", "rate", "loss", "top1", "val_loss", "val_top1"} <= set(rows[0])
    rates = [float(row["rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)  # a cosine, once warm
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert {"best.weights.h5", "checkpoint.npz", "curves.png"} <= {
        path.name for path in (folder / "whole").iterdir()
    }


def test_frozen_layers_stay_and_the_best_epoch_is_kept(folder: Path) -> None:
    config = load_config(**case.SETTINGS)
    case.prepare(config)
    start = [np.array(w) for w in case.network().get_layer("features").get_weights()]
    settings = {"unfreeze": {}, "epochs": 2, "ema": 0.9, "monitor": "val_top1", "tensorboard": True}
    weights, history = case.train(folder, "frozen", **settings)
    for before, after in zip(start, weights, strict=False):
        np.testing.assert_array_equal(before, after)
    again = case.network()
    again.load_weights(folder / "frozen" / "best.weights.h5")
    found = case.validate(again)
    row = history.rows[history.best_epoch - 1]
    assert (found["top1"], found["loss"]) == (
        pytest.approx(row["val_top1"]),
        pytest.approx(row["val_loss"], abs=1e-5),
    )
    assert history.best == max(r["val_top1"] for r in history.rows)
    (events,) = (folder / "frozen" / "tensorboard").iterdir()
    assert events.read_bytes().count(b"val_top1") >= 2  # one each epoch


def test_patience_ends_it_and_mlflow_is_told(folder: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    flow = folder / "mlruns"
    _, history = case.train(
        folder, "patient", rate=1e-9, patience=1, unfreeze={}, schedule="constant", ema=0,
        monitor="val_top1", weight_decay=0, mlflow=str(flow),
    )  # fmt: skip
    assert history.stopped
    assert len(history.rows) < 4
    client = mlflow.MlflowClient(str(flow))
    (experiment,) = client.search_experiments(filter_string="name = 'keyact'")
    (told,) = client.search_runs([experiment.experiment_id])
    assert told.info.run_name == "patient"
    assert told.info.status == "FINISHED"
    assert float(told.data.params["rate"]) == 1e-9
    steps = client.get_metric_history(told.info.run_id, "val_top1")
    assert [step.value for step in steps] == [row["val_top1"] for row in history.rows]


def test_an_address_that_mlflow_refuses_is_said(folder: Path) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(InputError, match=r"mlflow=ftp://nowhere: .*; give a folder or a server"):
        _fit(folder, "refused", case.Clouds(), mlflow="ftp://nowhere")
    assert not (folder / "refused" / "checkpoint.npz").exists()


def test_a_missing_mlflow_is_said_before_anything_is_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"pip install 'keyact\[mlflow\]'"):
        _fit(folder, "flow", case.Clouds(), mlflow="file:somewhere")
    assert not (folder / "flow" / "checkpoint.npz").exists()


def test_a_loss_that_is_no_number_is_said(folder: Path) -> None:
    class Broken(case.Clouds):
        def batch(self, epoch: int, step: int) -> Batch:
            good = super().batch(epoch, step)
            return good._replace(inputs={"x": good.inputs["x"] * np.float32(np.inf)})

    with pytest.raises(InputError, match="lower the rate"):
        _fit(folder, "overflow", Broken())


def _fit(folder: Path, name: str, batches: case.Clouds, **settings: object) -> None:
    config = load_config(**{**case.SETTINGS, "epochs": 1, "unfreeze": {}, **settings})
    run = case.RunFolder.create(name, folder)
    case.fit(case.network(), batches, case.validate, config, run)


def test_what_a_batch_raises_is_what_the_user_gets(folder: Path) -> None:
    class Lost(case.Clouds):
        def batch(self, epoch: int, step: int) -> Batch:
            if step == 3:
                raise InputError("photo.jpg: no such file")
            return super().batch(epoch, step)

    with pytest.raises(InputError, match="no such file"):
        _fit(folder, "lost", Lost())


def test_wrong_names_are_said(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'hidden'"):
        _fit(folder, "layer", case.Clouds(), freeze="hiden")


@pytest.mark.parametrize("monitor", ["val_accuracy", "accuracy"])
def test_a_figure_that_is_not_there_is_said_before_anything_is_learnt(
    folder: Path, monitor: str
) -> None:
    class Untouched(case.Clouds):
        def batch(self, epoch: int, step: int) -> Batch:
            raise AssertionError("learnt")

    with pytest.raises(InputError, match=rf"no '{monitor}'; known are rate, loss, top1, val_top1"):
        _fit(folder, f"monitor-{monitor}", Untouched(), monitor=monitor)


def test_a_checkpoint_of_another_network_is_refused(folder: Path) -> None:
    with pytest.raises(case.Stopped):
        case.train(folder, "other", stop=1)
    path = folder / "other" / "checkpoint.npz"
    arrays = dict(np.load(path))
    arrays["net/0"] = np.zeros((2, 2), np.float32)
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="another network"):
        case.train(folder, "other", resume=True)
    path.write_bytes(b"half a file")
    with pytest.raises(InputError, match="cannot be read"):
        case.train(folder, "other", resume=True)


LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]], np.float32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def test_the_loss_is_smoothed_cross_entropy() -> None:
    goal = np.full((2, 3), 0.1 / 3)
    goal[[0, 1], [0, 2]] += 0.9
    loss = objective(load_config(label_smoothing=0.1), 3)
    got = np.asarray(loss(one_hot(np.array([0, 2]), 3), LOGITS))
    np.testing.assert_allclose(got, -(goal * log_softmax(LOGITS)).sum(1), rtol=1e-5)


def test_a_network_that_agrees_with_its_teacher_has_the_least_loss() -> None:
    config = load_config(distill=1.0, distill_temperature=3.0, label_smoothing=0.0)
    loss = objective(config, 3)
    taught = np.concatenate([one_hot(np.array([1, 1]), 3), np.exp(log_softmax(LOGITS))], 1)

    def of(logits: np.ndarray) -> float:
        return float(np.sum(loss(taught, logits.astype(np.float32))))

    soft = log_softmax(LOGITS / 3)
    assert of(LOGITS) == pytest.approx(-9 * float((np.exp(soft) * soft).sum()), rel=1e-4)
    for move in 0.3 * np.eye(3):
        assert of(LOGITS + move) > of(LOGITS)
        assert of(LOGITS - move) > of(LOGITS)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("none", [1, 1, 1]), ("balanced", [2 / 3, 4 / 3, 4 / 3]), ({"b": 3.0}, [2 / 3, 2, 2 / 3])],
)
def test_class_weights_have_mean_one(setting: object, expected: list[float]) -> None:
    labels = np.array([0, 0, 1, 2])
    weights = class_weights(load_config(class_weights=setting), labels, ("a", "b", "c"))
    assert weights[labels].mean() == pytest.approx(1)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_a_weight_for_no_class_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tennis'"):
        class_weights(load_config(class_weights={"tenis": 2}), np.array([0]), ("tennis",))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends_train_and_resume(tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, case.__file__, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) <= 1e-6
