"""One check per parser: what must hold of any bytes it is given. An exception other than the project's own is a finding.

``TARGETS`` names the checks, a module for each family of parsers. ``fuzz.py`` searches for inputs, guided by coverage;
``test_fuzz.py`` runs what was found and kept, and mutations of it.
"""

from __future__ import annotations

from targets import archives, carriers, git_objects, images, own_files, patches, wheels
from targets.target import Target

_FAMILIES = (patches, own_files, archives, wheels, images, git_objects, carriers)
TARGETS: dict[str, Target] = {name: target for family in _FAMILIES for name, target in family.TARGETS.items()}
