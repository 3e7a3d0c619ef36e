"""`python -m kronos` is the `kronos` command."""

from __future__ import annotations

import sys

from kronos.cli import main

if __name__ == "__main__":
    sys.exit(main())
