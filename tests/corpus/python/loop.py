for role in ("prefill", "decode"):
    start(role, kv_transfer_config='{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
