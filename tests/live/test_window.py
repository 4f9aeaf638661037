"""The window on a display that nobody sees, where there is an Xvfb."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from keyact.live.window import NoDisplayError, Window

pytest.importorskip("tkinter", reason="this Python has no Tk")


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("there is no Xvfb")
    read, write = os.pipe()
    process = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as told:
        name = f":{told.readline().strip()}"
    monkeypatch.setenv("DISPLAY", name)
    yield name
    process.terminate()
    process.wait(20)


def test_pictures_are_shown_fitted_to_the_screen_until_the_user_ends_it(display: str) -> None:
    import av

    window = Window()
    red = np.zeros((1200, 1600, 3), np.uint8)
    red[..., 2] = 255
    window.show(0, "door", red)
    window.show(1, "camera 0", np.zeros((40, 60, 3), np.uint8))
    window.show(0, "door", red)
    assert not window.closed
    with av.open(display, "r", format="x11grab", options={"video_size": "800x600"}) as screen:
        pixels = next(screen.decode(video=0)).to_ndarray(format="rgb24").reshape(-1, 3)
    share = ((pixels[:, 0] > 200) & (pixels[:, 1] < 50)).mean()
    assert 0.55 < share < 0.65  # four fifths of the screen's width and height
    top = next(iter(window._root.winfo_children()))
    top.event_generate("<Escape>")
    window.refresh()
    assert window.closed
    window.close()
    window.show(0, "door", red)  # a window that is gone is no error
    assert window.closed


@pytest.mark.skipif(sys.platform != "linux", reason="others always have a display")
def test_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(NoDisplayError, match="no display to show a window on"):
        Window()
