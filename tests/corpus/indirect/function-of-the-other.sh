serve_prefill() {
  vllm serve m --port $1 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
}
serve_decode() {
  serve_prefill 8200
}
serve_prefill 8100
serve_decode
