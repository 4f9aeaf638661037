"""The skeleton layout type and its loader."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from keyact.errors import UnknownNameError


@dataclass(frozen=True)
class SkeletonLayout:
    """Names and topology of one set of K key points.

    Attributes
    ----------
    name : str
        Registry name, such as ``"coco17"``.
    joints : tuple of str
        Joint names in the order of the key point rows.
    edges : tuple of (int, int)
        Limbs to draw, as joint indices.
    pairs : tuple of (int, int)
        ``(left, right)`` joint indices that swap when a photo is mirrored.
    places : tuple of str
        The spot on the body that each joint marks, one per joint. It is the joint's own name
        except where two families use one name for two spots (Halpe's ``head`` is the top of the
        head, Penn Action's and Kinect's its centre) or two names for one spot (Kinect's
        ``spine_base`` is the ``mid_hip``). Conversions match joints by place.
    source : str
        Where the definition was published.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    places: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Row of a joint by name.

        Raises
        ------
        UnknownNameError
            If the layout has no joint of that name.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise UnknownNameError(f"{self.name} joint", joint, self.joints) from None

    @cached_property
    def flip(self) -> NDArray[np.intp]:
        """Permutation (K,) that swaps left and right: ``mirrored[..., layout.flip, :]``."""
        order = np.arange(len(self.joints))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        order.flags.writeable = False
        return order


def layout_names() -> list[str]:
    """Names of all layouts, sorted."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name[: -len(".json")] for file in files if file.name.endswith(".json"))


@cache
def get_layout(name: str) -> SkeletonLayout:
    """Look up a skeleton layout.

    Parameters
    ----------
    name : str
        One of :func:`layout_names`.

    Returns
    -------
    SkeletonLayout
        The same object for the same name.

    Raises
    ------
    UnknownNameError
        If there is no such layout.
    """
    known = layout_names()
    if name not in known:
        raise UnknownNameError("skeleton layout", name, known)
    text = resources.files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    data = json.loads(text)
    places = data.get("places", {})
    return SkeletonLayout(
        name=name,
        joints=tuple(data["joints"]),
        edges=tuple((a, b) for a, b in data["edges"]),
        pairs=tuple((left, right) for left, right in data["pairs"]),
        places=tuple(places.get(joint, joint) for joint in data["joints"]),
        source=data["source"],
    )
