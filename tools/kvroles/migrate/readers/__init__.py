"""Readers: what a file of one language holds, with its owners."""
