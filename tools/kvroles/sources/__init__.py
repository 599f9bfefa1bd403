"""Where a tree comes from: the package index, its archives, the cache, and git. Gives (path, mode, bytes)."""
