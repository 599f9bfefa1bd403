#!/usr/bin/env python3
"""Prove what the KV role changes in each vLLM release. ``--help`` has the rest."""

import sys

from kvworkshop.effects.command import main, parser

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
