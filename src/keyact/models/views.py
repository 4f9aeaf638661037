"""A network that looks at the photo, at the person's crop, or at both, and at no key point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
from keras import layers

from keyact.errors import UnknownNameError

View = Literal["photo", "person", "both"]
VIEWS: dict[str, tuple[str, ...]] = {
    "photo": ("context",),
    "person": ("crop",),
    "both": ("context", "crop"),
}


def image_model(
    eye: Callable[[Any], Any],
    labels: int,
    *,
    name: str,
    view: View = "photo",
    size: int = 224,
    dropout: float = 0.4,
) -> keras.Model:
    """See `keyact.models` for the inputs.

    Parameters
    ----------
    eye : uint8 RGB (N, size, size, 3) to a map (N, h, w, C); the same for every input.
    view : the photo squeezed into a square, the person's crop, or both side by side.
    """
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    inputs = {key: keras.Input((size, size, 3), name=key, dtype="uint8") for key in VIEWS[view]}
    pool = layers.GlobalAveragePooling2D(dtype="float32", name="pool")
    looking = keras.Model(
        inputs, {key: pool(eye(pixels)) for key, pixels in inputs.items()}, name="features"
    )
    seen = {key: keras.Input(value.shape[1:], name=key) for key, value in looking.output.items()}
    parts = list(seen.values())
    fused = layers.Concatenate(name="fuse")(parts) if len(parts) > 1 else parts[0]
    logits = layers.Dense(labels, dtype="float32", name="logits")(
        layers.Dropout(dropout, name="drop")(fused)
    )
    head = keras.Model(seen, logits, name="head")
    return keras.Model(inputs, head(looking(inputs)), name=name)
