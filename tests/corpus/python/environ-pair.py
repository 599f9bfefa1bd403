def start_decode():
    role = os.getenv("KV_ROLE", "kv_both")
    return KVTransferConfig(kv_connector="NixlConnector", kv_role=role)
def start_prefill():
    return KVTransferConfig(kv_connector="NixlConnector", kv_role=os.getenv("KV_ROLE") or "kv_both")
