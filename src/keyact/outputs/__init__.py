"""Results out: JSON Lines, CSV, annotated photos and clips."""

from __future__ import annotations

from keyact.outputs.csv_table import CsvWriter
from keyact.outputs.draw import annotate, label_text
from keyact.outputs.json_lines import JsonLinesWriter
from keyact.outputs.save import SaveError, VideoWriter, save_image, unique_path
from keyact.outputs.timeline_picture import draw_timeline

__all__ = [
    "CsvWriter",
    "JsonLinesWriter",
    "SaveError",
    "VideoWriter",
    "annotate",
    "draw_timeline",
    "label_text",
    "save_image",
    "unique_path",
]
