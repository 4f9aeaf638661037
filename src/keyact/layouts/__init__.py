"""Skeleton layouts as data: joint names, edges, left/right pairs and conversions.

Every ``<name>.json`` beside this module is one layout. Adding a layout means adding a file.
"""

from __future__ import annotations

from keyact.layouts.conversion import convert
from keyact.layouts.layout import SkeletonLayout, get_layout, layout_names

__all__ = ["SkeletonLayout", "convert", "get_layout", "layout_names"]
