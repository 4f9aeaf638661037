"""Memory that a training step needs again and again."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_memory() -> bool:
    """Let this process keep the memory that it frees, where the C library is glibc.

    By itself glibc gives large blocks back to the system at once. On a CPU every step asks for
    the same ones again, and the system clears each page anew: that took three tenths of the time
    of a training here (``benchmarks/training.py``, with and without ``--default-memory``).

    Returns
    -------
    Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
