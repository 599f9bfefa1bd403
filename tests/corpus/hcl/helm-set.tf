resource "helm_release" "vllm" {
  name = "vllm"
  set {
    name  = "prefill.kvTransferConfig"
    value = "{\"kv_connector\":\"NixlConnector\"\\,\"kv_role\":\"kv_both\"}"
  }
  set {
    name  = "decode.kv.connector"
    value = "NixlConnector"
  }
  set {
    name  = "decode.kv.role"
    value = "kv_both"
  }
  set = [
    { name = "decode.args[1]", value = "{\"kv_connector\":\"NixlConnector\"\\,\"kv_role\":\"kv_both\"}" },
  ]
}
