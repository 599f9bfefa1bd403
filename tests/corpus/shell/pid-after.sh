vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' > /tmp/1 2>&1 &
DECODE_PID=$!
vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' > /tmp/2 2>&1 &
PREFILL_PID=$!
