PREFILL_KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
vllm serve m --port 8100 --kv-transfer-config "$PREFILL_KV" > prefill.log &
vllm serve m --port 8200 --kv-transfer-config "$PREFILL_KV" > decode.log &
