start_prefill() {
  local port=$1
  vllm serve "$MODEL" --port "$port" --kv-transfer-config "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"
}
start_decode() {
  local port=$1
  vllm serve "$MODEL" --port "$port" --kv-transfer-config "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"
}
start_prefill 8100 & start_decode 8200 &
