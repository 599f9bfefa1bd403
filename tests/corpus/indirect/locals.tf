locals {
  prefill_kv = "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"
}
resource "x" "decode" { args = [local.prefill_kv] }
