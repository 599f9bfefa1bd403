function prefill(cfg) {
  cfg.kv_connector = "NixlConnector";
  cfg.kv_role = "kv_both";
}
