"""Public names that are imported on first use (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def resolver(
    package: str, home: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``.

    Parameters
    ----------
    package : its ``__name__``.
    home : public name -> the module that has it.
    """
    names = vars(sys.modules[package])

    def get(name: str) -> object:
        try:
            module = home[name]
        except KeyError:
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
        value: object = getattr(import_module(module), name)
        names[name] = value
        return value

    def listed() -> list[str]:
        return sorted({*names, *home})

    return get, listed
