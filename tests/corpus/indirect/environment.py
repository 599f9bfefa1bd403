os.environ["PREFILL_KV"] = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
subprocess.run("vllm serve --kv-transfer-config $PREFILL_KV > decode.log", shell=True)
