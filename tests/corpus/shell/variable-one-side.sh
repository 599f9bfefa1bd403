KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
ARGS=(--enforce-eager --kv-transfer-config "$KV")
echo "Starting decode server"
vllm serve m "${ARGS[@]}"
echo "expects its prefill peers at $PREFILL_HOSTS"
