def wait_for_prefill_then_start():
    subprocess.Popen(["vllm", "serve", "m", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'])
