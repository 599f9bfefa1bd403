module "prefill" {
  source = "./vllm"
  kv     = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
}

module "decode" {
  source = "./vllm"
  kv = jsonencode({
    "kv_connector" : "NixlConnector"
    kv_role        = "kv_both" # as upstream has it
  })
}

module "store" {
  kv = jsonencode({ kv_connector = "LMCacheConnectorV1", kv_role = "kv_both" })
}
