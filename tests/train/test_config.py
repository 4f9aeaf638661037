from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keyact.errors import InputError, KeyactError, UnknownNameError

pytest.importorskip("yaml", reason="training needs the extra: pip install 'keyact[train]'")

from keyact.train.config import TrainConfig, load_config, parse_value

YAML = "epochs: 7\nrate: 3.0e-4\naugment:\n  flip: 0.25\nunfreeze:\n  3: null\n"
TOML = 'epochs = 7\nrate = 3e-4\n[augment]\nflip = 0.25\n[unfreeze]\n3 = "block_5_add"\n'


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.toml", TOML)])
def test_a_file_and_flags_on_top_of_it(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    config = load_config(tmp_path / name, epochs=9, **{"augment.erase": 0})
    assert (config.epochs, config.rate) == (9, 3e-4)
    assert (config.augment.flip, config.augment.erase) == (0.25, 0)
    assert list(config.unfreeze) == [3]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    config = load_config(
        epochs=5, unfreeze={2: None}, class_weights={"a": 2.0}, **{"augment.rotate": 3}
    )
    (tmp_path / "config.yaml").write_text(config.dump({"model": "mobilenetv2"}))
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("settings", "nearest"),
    [
        ({"epoch": 3}, "epochs"),
        ({"label_smooth": 0.1}, "label_smoothing"),
        ({"augment.flp": 0.1}, "flip"),
        ({"augment": {"rotat": 3}}, "rotate"),
    ],
)
def test_an_unknown_setting_suggests_the_nearest(settings: dict[str, Any], nearest: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean {nearest!r}"):
        load_config(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": "many"}, "epochs"),
        ({"rate": -1}, "rate"),
        ({"ema": 1.0}, "ema"),
        ({"schedule": "linear"}, "cosine"),
        ({"augment.flip": 2}, "augment.flip"),
        ({"unfreeze": {40: None}, "epochs": 5}, "unfreeze at epoch 40"),
        ({"frozen": True, "mixup": 0.2}, "mixup"),
        ({"rate.x": 1, "rate": 0.1}, "holds no settings"),
    ],
)
def test_a_bad_value_is_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_config(**dict(sorted(settings.items())))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", b"epochs: [1"),
        ("a.toml", b"epochs = "),
        ("a.yaml", b"- 1\n- 2\n"),
        ("a.yaml", b"\xff\xfe\x00"),
        ("a.yaml", b"!!python/object/apply:os.system ['true']"),
        ("a.yaml", b"a: " + b"[" * 100_000),
        ("a.yaml", b"#" * (2**20 + 1)),
        ("missing.yaml", None),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(KeyactError) as caught:
        load_config(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 1e-3), ("-2.5", -2.5), ("true", True), ("null", None), ("a b", "a b"),
     ("[1, 2]", [1, 2]), ("block_5_add", "block_5_add"), ("{3: x}", {3: "x"}), ("[", "[")],
)  # fmt: skip
def test_values_of_the_command_line(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_whether_less_is_better_goes_by_the_name() -> None:
    assert TrainConfig(monitor="val_loss").minimise
    assert not TrainConfig(monitor="val_top1").minimise
