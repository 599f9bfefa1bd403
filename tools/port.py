#!/usr/bin/env python3
"""Bring the series to a new vLLM release, and lock it. ``--help`` has the rest."""

import os
import signal
import sys

# Until the command has begun, an interrupt ends it without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # python -P and -I leave it out

from kvworkshop.port.command import main, parser

__all__ = ["parser"]  # the command line, for the reference pages

if __name__ == "__main__":
    sys.exit(main())
