usage() {
  echo "usage: $0 MODEL   (same as: vllm serve MODEL --kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}')"
}
exec vllm serve "$1" --disaggregation-mode decode --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
