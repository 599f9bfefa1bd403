module "prefill" {
  kv = "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"${var.x ? "kv_both" : "kv_producer"}\"}"
}
