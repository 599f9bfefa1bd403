locals {
  // Prefill workers
  a = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
  // c = jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })
  /* d = { kv_role = "kv_both" } */
}
