"""The contract of a patched tree: what must hold of its bytes, clause by clause."""
