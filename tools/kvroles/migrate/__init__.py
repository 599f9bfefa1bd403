"""Moves deployers' own configs from ``kv_both`` to explicit roles: files in, findings and exact edits out.

``cli`` is the way in and ``run`` the way through. ``search`` finds the files (``files``), ``readers`` turn the text of each into
sites (YAML, shell, code, documents, ...), ``connector`` says whose role each is, ``verdict`` which side it is on, with what the
files ``beside`` say. ``findings`` puts that into words, ``answers`` and ``review`` add what people said, ``report`` prints it,
and ``files.rewrite`` writes it. ``cluster`` reads what runs.
"""
