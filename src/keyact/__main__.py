"""``python -m keyact`` is the ``keyact`` command."""

from __future__ import annotations

from keyact.cli import main

if __name__ == "__main__":
    main()
