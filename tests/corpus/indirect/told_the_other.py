def launch_prefill(port):
    return ["vllm", "serve", "m", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
launch_prefill("decode")
