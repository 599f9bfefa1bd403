print("Prefill server is up, starting the next one")
subprocess.Popen(["vllm", "serve", "m", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'])
