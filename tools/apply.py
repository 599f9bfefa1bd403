#!/usr/bin/env python3
"""Give a vLLM revision explicit KV roles. ``--help`` has the rest."""

import sys

from kvroles.apply.command import main, parser

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
