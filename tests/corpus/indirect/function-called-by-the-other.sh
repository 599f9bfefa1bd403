run_prefill() {
  vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
}
run_decode() { run_prefill; }
run_decode
