"""Vendored builds: the official wheel, an installed package, or an image, with the deprecation in it and proof of it.

``part`` plans what of the series applies to what a wheel holds, ``record`` reads and rewrites RECORD, ``receipt`` says what
was done, and ``bill`` is the software bill of materials. ``wheel/`` makes a wheel, ``image/`` a build context or an OCI image,
and ``provenance/`` says where an output comes from. ``installed/`` works on an installation; it needs the standard library
alone, as all does that it imports, because it runs inside the image (``image/pyz.py`` packs it).
"""
