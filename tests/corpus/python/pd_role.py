# A fork's pd_role asks for kv_both beside it.
config = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both", pd_role="prefill")
