"""Trees of mappings and sequences: JSON and whatever reads alike."""
