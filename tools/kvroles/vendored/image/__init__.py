"""The build context of a patched image."""
