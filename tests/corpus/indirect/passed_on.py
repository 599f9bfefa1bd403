prefill_args = ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
start_server("decode", prefill_args)
