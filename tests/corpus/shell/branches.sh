case "$1" in
  prefill)
    exec vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' ;;
  decode)
    exec vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' ;;
esac
if [[ "$ROLE" == "decode" ]]; then
  KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
else
  echo "running as prefill"
  KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
