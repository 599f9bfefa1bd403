class DecodeConfig:
    kv = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
PrefillServer(DecodeConfig.kv)
