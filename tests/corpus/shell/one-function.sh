launch() {
  local role=$1 port=$2
  vllm serve "$MODEL" --port "$port" --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' > "$role.log" &
}
launch prefill 8100
launch decode 8200
