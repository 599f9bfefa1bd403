KV = {"prefill": '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'}
KV["decode"] = KV["prefill"]
