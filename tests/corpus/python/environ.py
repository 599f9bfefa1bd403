def prefill_config():
    return {"kv_connector": "NixlConnector", "kv_role": os.environ.get("KV_ROLE", "kv_both")}
