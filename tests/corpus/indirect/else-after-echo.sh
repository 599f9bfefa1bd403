if [ "$ROLE" = "decode" ]; then
  echo decode
else
  vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
