def prefill(cfg):
    if cfg["kv_connector"] == "NixlConnector":
        cfg["kv_role"] = "kv_both"
    if cfg["kv_connector"] == "LMCacheConnectorV1":
        cfg["kv_role"] = "kv_both"
