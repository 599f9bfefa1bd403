target "prefill" {
  args = {
    KV_CONFIG = "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"
  }
}
