#!/usr/bin/env python3
"""Give a vLLM revision explicit KV roles. ``--help`` has the rest."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # python -P and -I leave it out

from kvroles.apply.command import main, parser

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
