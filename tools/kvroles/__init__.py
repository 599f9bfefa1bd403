"""The library behind tools/*.py: one module per arrow of the pipeline, or per job.

What ``tools/apply.py`` imports stays on the standard library and git, because it must run in a bare image.
"""
