locals {
  base = { kv_connector = "NixlConnector", kv_buffer_device = "cuda" }
}
module "prefill" {
  kv = jsonencode(merge(local.base, { kv_role = "kv_both" }))
}
module "decode" {
  kv = jsonencode({ kv_connector = local.base.kv_connector, kv_role = "kv_both" })
}
