"""A wheel with the series in it."""
