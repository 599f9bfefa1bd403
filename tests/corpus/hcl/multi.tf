module "prefill" {
  kv = jsonencode({
    kv_connector = "MultiConnector"
    kv_role      = "kv_both"
    kv_connector_extra_config = {
      connectors = [
        { kv_connector = "NixlConnector", kv_role = "kv_both" },
        { kv_connector = "LMCacheConnectorV1", kv_role = "kv_both" },
      ]
    }
  })
}
