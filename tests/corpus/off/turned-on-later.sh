PREFILL_REPLICAS=0
if [ "$MODE" = "disagg" ]; then
  PREFILL_REPLICAS=2
fi
start_decode() {
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
}
start_decode
