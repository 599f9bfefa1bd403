if [ "$IS_PREFILL" = "true" ]; then
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
if [ "$IS_PREFILL" = "false" ]; then
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
