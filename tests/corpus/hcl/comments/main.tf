locals {
  # Prefill workers
  a = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })

  b = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" }) # decode workers
  # c = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
}
