"""Prove every release from its archive."""
