PREFILL_KV=${PREFILL_KV:-'{"kv_connector":"NixlConnector","kv_role":"kv_both"}'}
DECODE_KV=${DECODE_KV:-$PREFILL_KV}
vllm serve m --port 8100 --kv-transfer-config "$PREFILL_KV" &
vllm serve m --port 8200 --kv-transfer-config "$DECODE_KV" &
