"""Key points over time: the type, files of other programs, preprocessing, streams, augmentation.

To add a format: a module with a `keyact.sequences.base.SequenceFormat`, a line in
`keyact.sequences.load.FORMATS`, and an example in ``tests/sequences/test_format_contract.py``.
NumPy and SciPy alone.

What only files and training need is imported on first use: whoever names actions has no need of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyact.lazy import resolver
from keyact.sequences.features import Features, Span, clip_spans
from keyact.sequences.glances import Glances
from keyact.sequences.preprocess import Preprocess
from keyact.sequences.sequence import UNCERTAIN, Sequence
from keyact.sequences.skeleton import Skeleton, known_skeleton, skeleton_of
from keyact.sequences.streams import STREAMS, channels, stream, streams

if TYPE_CHECKING:
    from keyact.sequences.augment import Augment
    from keyact.sequences.base import Options, SequenceFormat
    from keyact.sequences.load import FORMATS, detect_format, get_format, load_sequences
    from keyact.sequences.npz import save_sequences

__all__ = [
    "FORMATS",
    "STREAMS",
    "UNCERTAIN",
    "Augment",
    "Features",
    "Glances",
    "Options",
    "Preprocess",
    "Sequence",
    "SequenceFormat",
    "Skeleton",
    "Span",
    "channels",
    "clip_spans",
    "detect_format",
    "get_format",
    "known_skeleton",
    "load_sequences",
    "save_sequences",
    "skeleton_of",
    "stream",
    "streams",
]

_HOME = {
    "FORMATS": "keyact.sequences.load",
    "Augment": "keyact.sequences.augment",
    "Options": "keyact.sequences.base",
    "SequenceFormat": "keyact.sequences.base",
    "detect_format": "keyact.sequences.load",
    "get_format": "keyact.sequences.load",
    "load_sequences": "keyact.sequences.load",
    "save_sequences": "keyact.sequences.npz",
}

__getattr__, __dir__ = resolver(__name__, _HOME)
