module "prefill" {
  kv = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both"
