"""Files as they lie on a disk: which are looked at, which hold ``kv_both``, who lies beside whom, and how one is written."""
