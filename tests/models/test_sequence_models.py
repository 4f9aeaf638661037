"""What every sequence network keeps to, whatever the skeleton."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import make_fusion

from keyact.errors import InputError, UnknownNameError
from keyact.models import get_model, model_names
from keyact.sequences import Features, Skeleton, known_skeleton

keras = pytest.importorskip("keras", reason="needs the extra: pip install 'keyact[train]'")

from keyact.models import build  # noqa: E402

LABELS = 5
FRAMES = 16
GLANCE = 7  # numbers of `onnx_models.make_fusion`'s features


@dataclass(frozen=True)
class Case:
    """A network, small."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("tcn", {"width": 16, "depth": 2}),
    Case("bilstm", {"width": 8, "depth": 1}),
    Case("bigru", {"width": 8, "depth": 1}),
    Case("ddnet", {"width": 8}),
    Case("stgcn", {"widths": (8, 16), "kernel": 3}),
    Case("stgcnpp", {"widths": (8, 16)}),
    Case("ctrgcn", {"widths": (8, 16)}),
    Case("act", {"width": 16, "depth": 1, "heads": 2}),
    Case("poseconv3d", {"widths": (4, 8), "size": 8, "frames": 8}),
    Case("keypoint-fusion-temporal", {"width": 16, "depth": 2, "glance": 8}),
    Case("stream-ensemble", {"members": ("tcn", "ddnet")}),
)
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

SKELETONS = {
    "penn13 in 2D": (known_skeleton("penn13"), 2, 1),
    "kinect20 in 3D": (known_skeleton("kinect20"), 3, 1),
    "coco17 in 2D, two people": (known_skeleton("coco17"), 2, 2),
    "seven unknown joints in 3D": (
        Skeleton("generic-7", tuple((i, i + 1) for i in range(6))), 3, 1,
    ),
    "two joints that no bone connects": (Skeleton("generic-2", ()), 2, 1),
}  # fmt: skip


def features_for(case: Case, skeleton: str = "penn13 in 2D") -> Features:
    joints, dims, people = SKELETONS[skeleton]
    module = import_module(get_model(case.name).module)
    glances = GLANCE if getattr(module, "EYES", False) else 0
    return Features(joints, dims, FRAMES, module.STREAMS, people=people, glances=glances)


def made(case: Case, features: Features, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    return build(case.name, LABELS, features=features, **case.options)


def clips(features: Features, count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, (count, *features.shape)).astype(np.float32)


def answer(net: Any, x: np.ndarray, training: bool = False) -> np.ndarray:
    return keras.ops.convert_to_numpy(net(x, training=training))


def test_every_sequence_network_is_here() -> None:
    assert {case.name for case in CASES} == set(model_names("sequence"))


@each
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_any_skeleton_gives_logits(case: Case, skeleton: str) -> None:
    features = features_for(case, skeleton)
    net = made(case, features)
    assert [value.name for value in net.inputs] == ["x"]
    logits = answer(net, clips(features))
    assert logits.shape == (3, LABELS)
    assert np.isfinite(logits).all()


@each
def test_a_clip_is_judged_by_itself(case: Case) -> None:
    features = features_for(case)
    net, x = made(case, features), clips(features)
    np.testing.assert_allclose(answer(net, x[1:2]), answer(net, x)[1:2], atol=1e-4)
    assert np.abs(answer(net, x)[0] - answer(net, x)[1]).max() > 1e-6


@each
def test_a_seed_gives_one_network(case: Case) -> None:
    features = features_for(case)
    x = clips(features)
    one, same, other = (answer(made(case, features, seed), x) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-6


@each
def test_it_learns_and_every_weight_takes_part(case: Case) -> None:
    features = features_for(case)
    net, x = made(case, features), clips(features, 10)
    x[:, :, 0, 0] += np.repeat(np.arange(5), 2)[:, None]
    y = np.repeat(np.arange(5), 2)
    before = [np.array(variable) for variable in net.trainable_variables]
    net.compile(
        keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    losses = [float(net.train_on_batch(x, y)) for _ in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    still = [
        variable.path
        for variable, was in zip(net.trainable_variables, before, strict=True)
        if np.array_equal(np.array(variable), was)
    ]
    assert not still


@each
def test_weights_come_back_from_a_file(case: Case, tmp_path: Path) -> None:
    features = features_for(case)
    net, other, x = made(case, features, 0), made(case, features, 1), clips(features)
    net.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(answer(net, x), answer(other, x))


@each
def test_the_onnx_file_says_the_same(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="files are written by TensorFlow")
    from keyact.action.clips import ClipModel
    from keyact.sequences import Glances, Sequence
    from keyact.sequences.views import Views
    from keyact.train.eyes import eyes_of, with_eyes
    from keyact.train.sequence_run import metadata, to_onnx

    features = features_for(case)
    net = made(case, features)
    labels = [f"action {i}" for i in range(LABELS)]
    rng = np.random.default_rng(0)
    recording = Sequence.of(rng.normal(100, 20, (23, 13, 2)), layout="penn13", label="action 0")
    views = Views(clips=2, flip=True)
    meta = metadata("tiny", case.name, labels, features, views, [recording])
    if features.glances:
        make_fusion(tmp_path / "fusion.onnx")
        eyes = eyes_of(tmp_path / "fusion.onnx")
        meta["eyes"] = eyes.about
        seen = rng.normal(0, 1, (4, GLANCE)).astype(np.float32)
        recording = replace(recording, glances=Glances(np.array([1.0, 5, 9, 20]), seen))
    data = to_onnx(net, meta, tolerance=2e-3)
    (tmp_path / "model.onnx").write_bytes(with_eyes(data, eyes.data) if features.glances else data)
    model = ClipModel(tmp_path / "model.onnx", threads=1)
    assert model.labels == tuple(labels)
    looks = views(*features.clean(recording), features, recording.glances)
    assert looks.shape == (6, *features.shape)
    logits = answer(net, looks)
    wanted = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(model(recording), wanted.mean(0), atol=5e-3)


def test_a_missing_stream_is_named() -> None:
    features = Features(known_skeleton("penn13"), 2, FRAMES, ("bone",))
    with pytest.raises(InputError, match="also needs joint"):
        build("ddnet", LABELS, features=features)


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        (("tnc",), UnknownNameError, "did you mean 'tcn'"),
        (("tcn:bones",), InputError, "also needs bones"),
        (("keypoint-fusion",), InputError, "cannot be a member"),
        (("stream-ensemble",), InputError, "cannot be a member"),
        ((), InputError, "no members"),
    ],
)
def test_wrong_members_are_refused(
    members: tuple[str, ...], error: type[Exception], message: str
) -> None:
    features = features_for(CASES[-1])
    with pytest.raises(error, match=message):
        build("stream-ensemble", LABELS, features=features, members=members)


def test_members_learn_apart() -> None:
    """The gradient of one member's loss does not reach the other."""
    from keyact.train.sequence_run import trainable

    features = features_for(CASES[-1])
    whole = made(CASES[-1], features)
    net, x = trainable(whole), clips(features)
    apart = answer(net, x)
    assert apart.shape == (3, 2, LABELS)
    np.testing.assert_allclose(apart.mean(1), answer(whole, x), atol=1e-5)
    variables = whole.get_layer("member1").trainable_variables
    for variable in variables:
        variable.assign(variable + 0.1)
    changed = answer(net, x)
    np.testing.assert_array_equal(changed[:, 0], apart[:, 0])
    assert np.abs(changed[:, 1] - apart[:, 1]).max() > 1e-4


def test_a_glance_counts_as_far_as_the_key_points_are_sure() -> None:
    case = next(case for case in CASES if case.name == "keypoint-fusion-temporal")
    features = features_for(case)
    net, x = made(case, features), clips(features)
    joints, size = features.joint_shape[1:]
    scores = [joint * size + size - 1 for joint in range(joints)]  # the last stream
    other = x.copy()
    other[..., joints * size :] += 3
    for score, counts in ((0.9, True), (-2.0, False)):  # far below any score the gate is shut
        one, two = x.copy(), other.copy()
        one[..., scores] = two[..., scores] = score
        apart = np.abs(answer(net, one) - answer(net, two)).max()
        assert apart > 1e-2 if counts else apart < 1e-4
    blind = x.copy()
    blind[..., joints * size :] = 0
    assert np.isfinite(answer(net, blind)).all()
    with pytest.raises(InputError, match="looks at the pictures"):
        build(case.name, LABELS, features=replace(features, glances=0))


@each
def test_an_untrained_network_is_unsure(case: Case) -> None:
    # Logits that begin large are first unlearnt: graph networks took twelve epochs to get where
    # they now are after two.
    features = features_for(case)
    logits = answer(made(case, features), clips(features, 64), training=True)
    assert logits.std() < 2
