prefill_kv = {
  kv_connector = "NixlConnector"
  kv_role      = "kv_both"
}
engines = {
  decode = { kv_connector = "NixlConnector", kv_role = "kv_both" }
}
