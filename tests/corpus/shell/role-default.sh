start_prefill() {
  vllm serve m --kv-transfer-config "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"${KV_ROLE:-kv_both}\"}"
}
