def launch(role, port):
    return ["vllm", "serve", "m", "--role", role, "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
if __name__ == "__main__":
    launch("prefill", 8100)
