"""An installed vLLM: found, patched in place, taken back, proven. Standard library alone: it runs inside images."""
