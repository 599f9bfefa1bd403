"""Vendored builds: the official wheel, an installed package, or an image, with the deprecation in it and proof of it.

One job a module. ``part`` plans what of the series applies to what a wheel holds; ``record`` reads and rewrites RECORD;
``receipt`` says what was done. ``rawzip`` and ``wheel`` make a wheel; ``distribution``, ``bytecode``, ``inplace``,
``layer``, ``proof`` and ``construction`` work on an installation and, like everything they import, need the standard
library alone, because they run inside the image (``pyz`` packs them). ``image`` writes a build context, ``sbom``,
``statement`` and ``provenance`` say where an output comes from.
"""
