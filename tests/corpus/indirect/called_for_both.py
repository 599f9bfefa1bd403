def launch(role, port):
    return ["vllm", "serve", "m", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
p = launch("prefill", 8100)
d = launch("decode", 8200)
