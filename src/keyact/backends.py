"""Backends: parts of a stage that bring their own code, and packages that are not always there.

`keyact.detect` and `keyact.pose` each have a table of them; one is asked for as ``"NAME"`` or
``"NAME:FILE"``.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from keyact.errors import KeyactError, UnknownNameError


@dataclass(frozen=True)
class Backend:
    """One line of a stage's table.

    Attributes
    ----------
    module : its ``load(source, **options)`` makes the backend; ``source`` is what follows the
        colon, or None. The options are those of the stage's own ``load``.
    form : what to type, such as ``"movenet:FILE"``.
    summary : for tables and help texts.
    package : module that has to be installed, where keyact itself does not bring it.
    extra : the extra of keyact that installs it.
    """

    module: str
    form: str
    summary: str
    package: str | None = None
    extra: str | None = None

    @property
    def installed(self) -> bool:
        """Whether what it needs is there (looked for, not imported)."""
        return self.package is None or find_spec(self.package) is not None

    def load(self, source: str | None, **options: Any) -> Any:
        """Import the module, on first use, and make the backend."""
        return importlib.import_module(self.module).load(source, **options)


def find_backend(
    kind: str, name_or_path: str | Path, table: Mapping[str, Backend]
) -> tuple[Backend, str | None] | None:
    """The backend that ``"NAME"`` or ``"NAME:FILE"`` asks for, and what follows the colon.

    Parameters
    ----------
    kind : in words, for the error.

    Returns
    -------
    None when something else is asked for: the name or path of a network.

    Raises
    ------
    UnknownNameError : ``NAME:FILE`` with a name that is not in the table.
    """
    asked = str(name_or_path)
    name, colon, source = asked.partition(":")
    if name in table:
        return table[name], source or None
    # One letter before the colon is a drive of Windows.
    if colon and len(name) > 1 and not os.path.exists(asked):
        raise UnknownNameError(kind, name, table)
    return None


def optional_import(module: str, extra: str) -> ModuleType:
    """Import a module of a package that an extra brings.

    Raises
    ------
    KeyactError : it is not installed, or cannot be imported here; says what to type.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise KeyactError(f"{package} cannot be imported here: it needs {error.name}") from None
        raise KeyactError(
            f"the package {package} is not installed: pip install 'keyact[{extra}]'"
        ) from None
    except (ImportError, OSError) as error:  # a system library is missing, such as libGL
        reason = (str(error).splitlines() or [""])[0]
        raise KeyactError(f"{package} cannot be imported here: {reason}") from None


_stderr = threading.Lock()


@contextmanager
def without_native_chatter() -> Iterator[None]:
    """Keep C++ libraries from writing to the terminal while they load a network.

    LiteRT and MediaPipe log dozens of lines about their own affairs to file descriptor 2 and
    have no setting for that. Errors are exceptions and still come through.
    """
    with _stderr:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (AttributeError, OSError, ValueError):  # there is no standard error to keep clean
            yield
            return
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
