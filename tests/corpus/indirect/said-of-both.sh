# same config for prefill and decode
PREFILL_CFG='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
vllm serve m --kv-transfer-config "$PREFILL_CFG"
