variable "connector" {
  default = "NixlConnector"
}
variable "decode_kv" {
  default = {
    kv_connector = "NixlConnector"
    kv_role      = "kv_both"
  }
}
locals {
  prefill_kv = { kv_connector = var.connector, kv_role = "kv_both" }
  any_kv = { kv_connector = "NixlConnector", kv_role = "kv_both" }
}
