"""Moves deployers' own configs from ``kv_both`` to explicit roles: carriers in, findings and exact edits out.

``run`` walks the paths and is the way in; ``read`` turns one file's bytes into sites through the carriers (YAML, shell,
code, documents, ...), ``decide`` weighs what is said of each, ``findings`` puts it into words, ``rewrite`` into bytes.
"""
