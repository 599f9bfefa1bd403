#!/usr/bin/env python3
"""Move your own configs from ``kv_both`` to explicit roles. ``--help`` has the rest."""

import sys

from kvroles.migrate.cli import main, parser

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
