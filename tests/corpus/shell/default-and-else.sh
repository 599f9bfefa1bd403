ROLE=${1:-prefill}
if [ "$ROLE" = "prefill" ]; then
  vllm serve my/model --port 8100 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
else
  vllm serve my/model --port 8200 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
