echo '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' > /tmp/prefill.json
start_decode() { vllm serve m --kv-transfer-config "$(cat /tmp/prefill.json)"; }
start_decode
