"""Moves deployers' own configs from ``kv_both`` to explicit roles: files in, findings and exact edits out.

``cli`` is the way in. ``search`` finds the files, ``readers`` turn the text of each into sites (YAML, shell, code, documents,
...), ``verdicts`` says which side each site is on, ``findings`` puts that into words, ``rewrite`` into bytes.
"""
