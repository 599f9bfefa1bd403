module "decode" {
  values = [templatefile("${path.module}/values.tftpl", {
    kv_connector = "NixlConnector"
    kv_role      = "kv_both"
  })]
}
