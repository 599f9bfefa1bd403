"""Where an output comes from: SBOM, statement, signature."""
