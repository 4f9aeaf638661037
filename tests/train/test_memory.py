from __future__ import annotations

import subprocess
import sys

import pytest

from keyact.train.memory import keep_memory

ASK_AGAIN = """
import resource, sys
import numpy as np
from keyact.train.memory import keep_memory

if sys.argv[1] == "kept" and not keep_memory():
    sys.exit(3)
for _ in range(3):
    np.ones(40_000_000, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(40_000_000, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the system had to give for blocks that were there a moment ago."""
    command = [sys.executable, "-c", ASK_AGAIN, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("needs glibc")
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_memory_that_is_freed_is_used_again() -> None:
    assert faults("kept") < faults("given back") / 10


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_memory()
