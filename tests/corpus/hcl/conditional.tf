module "vllm" {
  kv = var.is_prefill ? jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" }) : jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
}
