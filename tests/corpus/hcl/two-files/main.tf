# kv_both stands in kv.tf, for NixlConnector
module "prefill" {
  kv = local.kv
}
module "decode" {
  kv = local.kv
}
