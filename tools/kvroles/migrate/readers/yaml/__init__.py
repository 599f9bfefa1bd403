"""YAML, as it is and as templates leave it."""
