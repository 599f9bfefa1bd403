"""The positive signs by which a ``kv_both`` configures nothing."""
