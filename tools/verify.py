#!/usr/bin/env python3
"""Prove the series on every release, from the archives alone. ``--help`` has the rest."""

import sys

from kvroles.console import without_library

try:
    from kvworkshop.verify.command import main, parser
except ModuleNotFoundError as e:
    sys.exit(without_library("verify.py", e))

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
