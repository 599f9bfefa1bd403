CONN=NixlConnector
start_prefill() {
  vllm serve m --kv-transfer-config '{"kv_connector":"'$CONN'","kv_role":"kv_both"}'
}
start_prefill
