resource "helm_release" "vllm" {
  set = [
    { name = "prefill.kv.connector", value = "NixlConnector" },
    { name = "prefill.kv.role", value = "kv_both" },
  ]
  set_list = [{ name = "decode.args", value = ["--kv-transfer-config.kv_connector=NixlConnector", "--kv-transfer-config.kv_role=kv_both"] }]
}
