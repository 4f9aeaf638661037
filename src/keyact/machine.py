"""What is known of the machine that this runs on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def cpu_name() -> str:
    """As its maker calls it, or the kind of processor where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()


def usable_cpus() -> int:
    """CPUs that this process may use, which a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
