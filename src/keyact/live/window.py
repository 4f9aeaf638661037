"""Frames on the screen, through Tk, which comes with Python: OpenCV's headless build has none."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import KeyactError

_SHARE = 0.8  # of the screen, at most


class NoDisplayError(KeyactError):
    """There is no screen, or Python has no Tk."""


class Window:
    """A window per source; closing one, Escape or q is the user's wish to end.

    To be used from the main thread.

    Raises
    ------
    NoDisplayError : there is no screen.
    """

    def __init__(self) -> None:
        try:
            import tkinter

            self._root: Any = tkinter.Tk()
        except ImportError:
            raise NoDisplayError("this Python has no Tk to show a window with") from None
        except tkinter.TclError as error:
            raise NoDisplayError(f"no display to show a window on ({error})") from None
        self._root.withdraw()
        self._places: dict[int, tuple[Any, Any]] = {}
        self.closed = False

    def show(self, number: int, title: str, image: NDArray[np.uint8]) -> None:
        """Put a BGR picture into the window of a source."""
        import tkinter

        from PIL import Image, ImageTk

        try:
            if number not in self._places:
                self._places[number] = self._open(title)
            place, _ = self._places[number]
            height, width = image.shape[:2]
            room = (self._root.winfo_screenwidth(), self._root.winfo_screenheight())
            scale = min(1.0, _SHARE * room[0] / width, _SHARE * room[1] / height)
            picture = Image.fromarray(image[..., ::-1])
            if scale < 1:
                picture = picture.resize((round(width * scale), round(height * scale)))
            shown = ImageTk.PhotoImage(picture)
            place.configure(image=shown)
            self._places[number] = (place, shown)  # Tk does not hold it
            self._root.update()
        except tkinter.TclError:
            self.closed = True

    def refresh(self) -> None:
        """Let the user move and close windows while no picture comes."""
        import tkinter

        try:
            self._root.update()
        except tkinter.TclError:
            self.closed = True

    def close(self) -> None:
        """Take the windows away."""
        import tkinter

        with contextlib.suppress(tkinter.TclError):
            self._root.destroy()

    def _open(self, title: str) -> tuple[Any, Any]:
        import tkinter

        top = tkinter.Toplevel(self._root)
        top.title(f"keyact: {title}")
        top.protocol("WM_DELETE_WINDOW", self._end)
        for key in ("<Escape>", "q"):
            top.bind(key, lambda _: self._end())
        place = tkinter.Label(top)
        place.pack()
        return place, None

    def _end(self) -> None:
        self.closed = True
