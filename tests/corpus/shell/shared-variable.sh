KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
# prefill
vllm serve m --port 8100 --kv-transfer-config "$KV" &
# decode
vllm serve m --port 8200 --kv-transfer-config "$KV" &
