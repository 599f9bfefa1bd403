KV_P='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
KV_D='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
