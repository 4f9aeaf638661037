from __future__ import annotations

import pytest

from keyact.errors import UnknownNameError
from keyact.models import build, get_model, model_names


def test_names_are_unique_and_of_a_known_kind() -> None:
    names = model_names()
    assert len(names) == len(set(names))
    assert set(names) == {*model_names("photo"), *model_names("sequence")}
    wanted = {
        "keypoint-fusion", "mobilenetv2", "keypoints-mlp", "keypoints-gcn", "keypoints-trees",
        "mobilenetv3-small", "mobilenetv3-large", "efficientnetv2-b0", "resnet50", "convnext-tiny",
    }  # fmt: skip
    assert wanted <= set(model_names("photo"))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("keypoint_fusion", "keypoint-fusion"), ("ResNet50", "resnet50"), ("convnext", "convnext-")],
)
def test_an_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{nearest}"):
        get_model(name)


def test_every_network_of_keras_applications_has_a_name() -> None:
    keras = pytest.importorskip("keras", reason="needs the extra: pip install 'keyact[train]'")
    ours = {get_model(name).options.get("architecture") for name in model_names("photo")}
    theirs = {name for name in dir(keras.applications) if name[:1].isupper()}
    assert theirs - {"MobileNetV2"} <= ours


def test_an_unknown_option_suggests_the_nearest() -> None:
    pytest.importorskip("sklearn", reason="needs the extra: pip install 'keyact[train]'")
    with pytest.raises(UnknownNameError, match="did you mean 'trees'"):
        build("keypoints-trees", 3, tres=3)
