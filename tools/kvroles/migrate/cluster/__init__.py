"""The live cluster: every object that holds ``kv_both``, by its kind, namespace and name. It reads, and never writes."""
