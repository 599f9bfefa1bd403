# Prefill instance
a = LLM(model="m", kv_transfer_config=KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both"))
# Decode instance
b = LLM(model="m", kv_transfer_config=KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both"))
