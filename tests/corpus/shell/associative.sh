declare -A KV=(
  [prefill]='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
  [decode]='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
)
