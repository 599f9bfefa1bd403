"""Markdown and the other marked-up texts."""
