"""A revision or an existing tree in, a patched and proven tree out."""
