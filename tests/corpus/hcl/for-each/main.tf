resource "nomad_job" "vllm" {
  for_each = toset(["prefill", "decode"])
  jobspec  = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
}
