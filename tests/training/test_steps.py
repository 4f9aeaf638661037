"""Batches ahead of their step, gradient steps of both backends, and the mean of several runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from training.ahead import ahead

ROOT = Path(__file__).parents[2]

# Fits y = 2x + 1 with two rates, by the trainer of the scripts.
FIT = """
import json
import keras, numpy as np
from keras import layers, ops
from training.schedule import Trainer

net = keras.Sequential(
    [keras.Input((1,)), layers.Dense(1, name="body"), layers.Dense(1, name="head")]
)
net.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])

def loss(net, x, y):
    gap = ops.mean(ops.square(net(x, training=True) - y))
    return {"loss": gap, "twice": 2 * gap}

trainer = Trainer(net, {"head"}, loss, 0.05, "400", 0.5)
rng = np.random.default_rng(0)
while trainer.part < 1:
    x = rng.uniform(-1, 1, (32, 1)).astype(np.float32)
    trainer.step(x, 2 * x + 1)
now = [np.array(w) for w in net.get_weights()]
average = trainer.with_average(lambda: [np.array(w) for w in net.get_weights()])

small = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="body")])
start = np.float32([[1e-4, 10], [1e-4, 10]])
small.set_weights([start, np.zeros(2)])
careful = Trainer(small, set(), lambda *batch: {"loss": ops.mean(small(batch[1]) ** 2)},
                  0.1, "400", 1.0, relative=True)
careful.step(np.ones((1, 2), np.float32))
print(json.dumps({
    "moved": (abs(small.get_weights()[0] - start) / start).tolist(),
    "line": float(ops.convert_to_numpy(net(np.ones((1, 1), np.float32)))[0, 0]),
    "progress": trainer.progress(),
    "averaged": float(max(abs(a - b).max() for a, b in zip(now, average))),
    "back": all((a == b).all() for a, b in zip(now, net.get_weights())),
}))
"""


# The largest gap between Keras's answer and that of the scripts' own way through PyTorch.
BOTH = """
import keras, numpy as np
from training.fastpose_m import model as pose
from training.keypoint_fusion import model as fusion
from training.schedule import forward

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
images = rng.uniform(-1, 1, (2, 2, 64, 64, 3)).astype(np.float32)
points = rng.uniform(0, 60, (2, 17, 3)).astype(np.float32)
for net, inputs in ((pose.build(64, 64), images[0]),
                    (fusion.build(5, None, size=64), [*images, points])):
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    mine, theirs = (
        keras.tree.map_structure(keras.ops.convert_to_numpy, out)
        for out in (forward(net, inputs, training=False), net(inputs, training=False))
    )
    for one, other in zip(keras.tree.flatten(mine), keras.tree.flatten(theirs)):
        print(one.shape == other.shape and float(abs(one - other).max() / abs(other).max()))
"""


# Prints what three processes made; by itself, for a process with TensorFlow in it must not fork.
FORKED = """
from itertools import islice
import numpy as np
from training.ahead import ahead

def make(step):
    return np.full((2, 3), step), np.array([step], np.float32)

if __name__ == "__main__":
    for whole, one in islice(ahead(make, start=5, workers=3), 7):
        print(whole.tolist(), float(one[0]))
"""


def make(step: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((2, 3), step), np.array([step], np.float32)


def test_batches_come_in_the_order_of_their_steps() -> None:
    for step, batch in enumerate(islice(ahead(make, start=5), 7), 5):
        for found, expected in zip(batch, make(step), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_so_do_those_of_several_processes() -> None:
    pytest.importorskip("torch", reason="several processes need the extra torch")
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{[[i] * 3] * 2} {float(i)}" for i in range(5, 12)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_either_backend_learns_and_averages(backend: str) -> None:
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-c", FIT],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["line"] == pytest.approx(3, abs=0.05)
    assert result["progress"].startswith("400 1.000 {'loss': 0.0")
    assert 0 < result["averaged"] < 0.5
    assert result["back"]
    # The first step of Adam, a warm-up's: as much of the small kernel as of the large one.
    np.testing.assert_allclose(result["moved"], 0.1 * (1 / 200 + 1e-3), rtol=0.05)


@pytest.mark.slow
def test_the_way_through_pytorch_computes_what_keras_does() -> None:
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", BOTH],
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    gaps = [float(line) for line in done.stdout.splitlines()]
    assert len(gaps) == 3
    assert max(gaps) < 1e-4


@pytest.mark.slow
def test_the_mean_of_runs_lies_between_them_and_the_released_weights(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    from training.schedule import average

    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    runs = []
    for i, value in enumerate((3.0, 5.0)):
        run = tmp_path / str(i)
        run.mkdir()
        net.set_weights([np.full((1, 1), value), np.zeros(1)])
        net.save_weights(run / "last.weights.h5")
        (run / "state.json").write_text(json.dumps({"step": 10 + i}))
        runs.append(run)
    net.set_weights([np.full((1, 1), 1.0), np.ones(1)])
    assert average(net, runs, 0.75) == 21
    kernel, bias = net.get_weights()
    assert kernel[0, 0] == pytest.approx(0.25 * 1 + 0.75 * 4)
    assert bias[0] == pytest.approx(0.25)


@pytest.mark.slow
def test_a_teacher_looks_at_the_joints_that_are_seen(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    from safetensors.torch import save_file

    from training.keypoint_fusion import teacher

    torch.manual_seed(0)
    net = teacher.Teacher(3, pretrained=False)
    save_file(net.state_dict(), tmp_path / "teacher.safetensors")
    net = teacher.load(tmp_path / "teacher.safetensors", 3)
    pictures = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    points = 64 * torch.rand(2, 17, 3)
    moved = points + torch.tensor([20.0, -20.0, 0.0])
    for seen in (0.0, 1.0):
        points[..., 2] = moved[..., 2] = seen
        here, there = (teacher.told(net, *pictures, where) for where in (points, moved))
        assert here.shape == (2, 3)
        assert bool(torch.equal(here, there)) == (seen == 0)
