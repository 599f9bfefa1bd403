def prefill(cfg):
    if cfg["kv_connector"] != "NixlConnector":
        cfg["kv_role"] = "kv_both"
    else:
        cfg["kv_role"] = "kv_both"
