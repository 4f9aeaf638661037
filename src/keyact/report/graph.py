"""A network in parts: what each gives, what was learnt in it, and what it takes from.

Read from the ONNX graph alone, without running it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from keyact.backends import optional_import


@dataclass
class Box:
    """A part of a network: ``name``, the numbers that were learnt in it, the shape that it gives,
    and the parts (by key) that it takes from."""

    name: str
    parameters: int = 0
    shape: tuple[int | str, ...] = ()
    takes: set[str] = field(default_factory=set)
    depth: int = 0


def parts(graph: Any) -> dict[str, Box]:
    """A network in parts: its nodes by the scopes in their names, a backbone by resolution.

    Nodes without a scope belong to what they take from, or else to what they give to. Parts that
    would need each other in turn are joined.
    """
    shapes = _shapes(graph)
    nodes, weight_of = _without_constants(graph)
    made = {name: node.output[0] for node in nodes for name in node.output}
    owner: dict[str, str] = {}
    for node in nodes:
        before = [owner[made[name]] for name in node.input if name in made]
        owner[node.output[0]] = _scope(node.name) or next(filter(None, before), "")
    for node in reversed(nodes):
        for name in node.input:
            if name in made and not owner[made[name]]:
                owner[made[name]] = owner[node.output[0]]
    _cut_by_resolution(nodes, owner, shapes)
    boxes = {one.name: Box(one.name, shape=dims(one)) for one in graph.input}
    for node in nodes:
        key = owner[node.output[0]] or "rest"
        box = boxes.setdefault(key, Box(key))
        box.parameters += sum(weight_of.pop(name, 0) for name in node.input)
        if node.op_type != "Pad":  # a border for the next part
            box.shape = shapes.get(node.output[0], ()) or box.shape
        for name in node.input:
            source = owner[made[name]] or "rest" if name in made else name
            if source != key and (name in made or source in boxes):
                box.takes.add(source)
    return _layered(_thinned(_joined(boxes)))


def weights_of(graph: Any) -> list[Any]:
    """The tensors of numbers that were learnt."""
    kinds = {1, 3, 10, 11, 16}  # FLOAT, INT8, FLOAT16, DOUBLE, BFLOAT16
    found = [one for one in graph.initializer if one.data_type in kinds]
    whole = {one.name for one in found if one.data_type == 3}
    unpacked = {n.output[0] for n in graph.node if n.op_type == "Cast" and n.input[0] in whole}
    scales = {n.input[1] for n in graph.node if n.op_type == "Mul" and n.input[0] in unpacked}
    return [one for one in found if one.name not in scales]


def dims(port: Any) -> tuple[int | str, ...]:
    """The shape of an input or output; a name where a size is free."""
    return tuple(d.dim_param or d.dim_value for d in port.type.tensor_type.shape.dim)


def _without_constants(graph: Any) -> tuple[list[Any], dict[str, int]]:
    """Nodes that depend on the input, and how many numbers each weight that they take has.

    Weights in half precision or eight bits go through a Cast first, those in eight bits through a
    Mul by their scale as well; neither is a part of the network.
    """
    numbers = {one.name: math.prod(one.dims) for one in weights_of(graph)}
    fixed = {one.name for one in graph.initializer}
    nodes = []
    for node in graph.node:
        if all(name in fixed for name in node.input):
            fixed.update(node.output)
            if node.op_type in ("Cast", "Mul"):
                numbers[node.output[0]] = numbers.get(node.input[0], 0)
        else:
            nodes.append(node)
    return nodes, numbers


def _cut_by_resolution(
    nodes: list[Any], owner: dict[str, str], shapes: dict[str, tuple[int | str, ...]]
) -> None:
    """Give the blocks of a backbone parts by the size of their maps."""
    backbones = {
        owner[node.output[0]] for node in nodes if re.match(r"[^/]+/block_\d+_", node.name)
    }
    size: dict[str, str] = {}
    for node in nodes:
        key, shape = owner[node.output[0]], shapes.get(node.output[0], ())
        if node.op_type == "Conv" and len(shape) == 4:
            size[key] = " × ".join(map(str, shape[-2:]))
        if key in backbones:
            owner[node.output[0]] = f"{key}, {size[key]}" if key in size else f"{key}, input"


def _shapes(graph: Any) -> dict[str, tuple[int | str, ...]]:
    """The shapes of all tensors for one person, as far as they can be told without running."""
    onnx = optional_import("onnx", "report")
    model = onnx.helper.make_model(graph)
    for port in model.graph.input:
        for dim in port.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {one.name: dims(one) for one in (*inferred.value_info, *inferred.output)}


def _scope(name: str) -> str:
    first, slash, rest = name.partition("/")
    if not slash:
        return ""
    plain = re.sub(r"_\d+$", "", first)
    second = re.sub(r"_\d+$", "", rest.partition("/")[0]) if "/" in rest else ""
    # A head is told part by part; a backbone's blocks are taken together.
    return f"{plain}/{second}" if plain == "head" and second else plain


def _joined(boxes: dict[str, Box]) -> dict[str, Box]:
    """Boxes without circles: those that reach each other become one."""
    reach = {key: _upstream(boxes, key) for key in boxes}
    home = {
        key: min((k for k in boxes if k == key or (k in reach[key] and key in reach[k])),
                 key=list(boxes).index)
        for key in boxes
    }  # fmt: skip
    joined: dict[str, Box] = {}
    for key, box in boxes.items():
        one = joined.setdefault(home[key], Box(boxes[home[key]].name))
        one.parameters += box.parameters
        one.shape = box.shape or one.shape
        one.takes |= {home[source] for source in box.takes} - {home[key]}
    return joined


def _thinned(boxes: dict[str, Box]) -> dict[str, Box]:
    """Without the small change of a head: a part that learnt nothing goes into what it gives to,
    or what it takes from, where that is one."""
    for key in [key for key, box in boxes.items() if "head" in key and not box.parameters]:
        box = boxes[key]
        users = [name for name, other in boxes.items() if key in other.takes]
        if len(users) == 1:
            boxes[users[0]].takes |= box.takes
        elif len(box.takes) == 1:
            for name in users:
                boxes[name].takes |= box.takes
        else:
            continue
        for name in users:
            boxes[name].takes.discard(key)
        del boxes[key]
    return boxes


def _upstream(boxes: dict[str, Box], key: str) -> set[str]:
    seen: set[str] = set()
    queue = list(boxes[key].takes)
    while queue:
        one = queue.pop()
        if one not in seen:
            seen.add(one)
            queue += boxes[one].takes
    return seen


def _layered(boxes: dict[str, Box]) -> dict[str, Box]:
    """Each box as deep as the longest way to it."""
    for _ in boxes:
        for box in boxes.values():
            box.depth = max((boxes[source].depth + 1 for source in box.takes), default=0)
    return boxes
