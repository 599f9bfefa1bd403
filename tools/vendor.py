#!/usr/bin/env python3
"""Vendored builds of vLLM: a wheel, an installed package, an image context, and their proof. ``--help`` has the rest."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -I, which starts it where nothing else may, does not

from kvroles.vendored.build_command import main, parser

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
