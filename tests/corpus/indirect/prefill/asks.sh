case "$ROLE" in
prefill) PORT=1 ;;
decode) PORT=2 ;;
esac
vllm serve m --port $PORT --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
