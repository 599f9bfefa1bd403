if [[ "$HOSTNAME" =~ prefill ]]; then
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
elif [[ "$HOSTNAME" =~ decode|both ]]; then
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
