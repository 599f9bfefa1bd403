"""``migrate --review``: one open case at a time, answered by a key, as ``git add -p`` does."""
