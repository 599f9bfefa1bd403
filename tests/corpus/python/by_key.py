CONFIGS = {
    "prefill": KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both"),
    "decode": KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both"),
}
