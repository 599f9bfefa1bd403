"""Run patched vLLM on a CPU: environments, trees on the path, tiny models, servers, upstream's own tests.

``environments`` builds interpreters with pinned requirements; ``trees`` puts a vLLM tree on their path;
``models`` writes what the hub would give; ``construct``, ``upstream_tests`` and ``servers`` run vLLM and
report what it did. ``tools/apply.py`` needs nothing of it.
"""
