"""The one model of evidence: which side each config is of, and by which words.

Bytes and frames in, verdicts out. No parser; the standard library only; nothing of migrate is imported.
"""
