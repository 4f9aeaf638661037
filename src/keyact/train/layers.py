"""Layers of a Keras network by name, also inside the networks that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keyact.errors import UnknownNameError

if TYPE_CHECKING:
    import keras


def walk(net: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers in their order; a network inside comes after its own layers."""
    for layer in net.layers:
        if getattr(layer, "layers", None):
            yield from walk(layer)
        yield layer


def set_frozen(net: keras.Model, until: str | None) -> None:
    """Keep the weights of every layer up to and including ``until``; train the others.

    Raises
    ------
    UnknownNameError : no such layer.
    """
    order = list(walk(net))
    names = [layer.name for layer in order]
    if until is not None and until not in names:
        raise UnknownNameError("layer", until, [layer.name for layer in order if layer.weights])
    stay = names.index(until) + 1 if until is not None else 0
    net.trainable = True
    for place in range(len(order) - 1, -1, -1):  # a network first, for it sets all its layers
        order[place].trainable = place >= stay


def variables_of(net: keras.Model, part: str) -> list[Any]:
    """The trainable variables of a part by name; none when there is no such part."""
    return [
        variable
        for layer in walk(net)
        if layer.name == part
        for variable in layer.trainable_variables
    ]
