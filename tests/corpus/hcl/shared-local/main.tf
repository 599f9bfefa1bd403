locals {
  kv = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
}
module "prefill" {
  kv = local.kv
}
module "decode" {
  kv = local.kv
}
