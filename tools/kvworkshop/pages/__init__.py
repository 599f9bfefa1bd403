"""The generated part of the site: Markdown made from the series, the lock, the data files and the tools' own parsers.

Whole pages go to ``docs/patches`` and ``docs/reference``; fragments that hand-written pages include go to ``build/pages``.
Nothing here is committed: what a page says comes from its source at every build.
"""
