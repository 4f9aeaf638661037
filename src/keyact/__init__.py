"""Name what each person is doing in a photo or a video: key points and MobileNetV2, on a CPU.

    >>> import keyact
    >>> result = keyact.Recognizer()("photo.jpg")  # doctest: +SKIP
    >>> [(person.action, person.posture) for person in result.people]  # doctest: +SKIP

Names are resolved on first use, so ``import keyact`` loads no runtime and no image library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyact.lazy import resolver

if TYPE_CHECKING:
    from keyact.errors import InputError, KeyactError, UnknownNameError, WeightsError
    from keyact.layouts import SkeletonLayout, convert, get_layout, layout_names
    from keyact.media.image import ImageLimits, load_image
    from keyact.outputs.draw import annotate
    from keyact.recognizer import Frame, Recognizer
    from keyact.results import Action, FrameResult, Person
    from keyact.train import train

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Frame",
    "FrameResult",
    "ImageLimits",
    "InputError",
    "KeyactError",
    "Person",
    "Recognizer",
    "SkeletonLayout",
    "UnknownNameError",
    "WeightsError",
    "__version__",
    "annotate",
    "convert",
    "get_layout",
    "layout_names",
    "load_image",
    "train",
]

_HOME = {
    "Action": "keyact.results",
    "Frame": "keyact.recognizer",
    "FrameResult": "keyact.results",
    "ImageLimits": "keyact.media.image",
    "InputError": "keyact.errors",
    "KeyactError": "keyact.errors",
    "Person": "keyact.results",
    "Recognizer": "keyact.recognizer",
    "SkeletonLayout": "keyact.layouts",
    "UnknownNameError": "keyact.errors",
    "WeightsError": "keyact.errors",
    "annotate": "keyact.outputs.draw",
    "convert": "keyact.layouts",
    "get_layout": "keyact.layouts",
    "layout_names": "keyact.layouts",
    "load_image": "keyact.media.image",
    "train": "keyact.train",
}

__getattr__, __dir__ = resolver(__name__, _HOME)
