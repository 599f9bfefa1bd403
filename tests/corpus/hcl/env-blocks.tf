resource "kubernetes_pod" "prefill" {
  spec {
    container {
      env {
        name  = "KV_CONNECTOR"
        value = "NixlConnector"
      }
      env {
        name  = "KV_ROLE"
        value = "kv_both"
      }
    }
    container {
      env {
        name  = "KV_CONNECTOR"
        value = "MooncakeConnector"
      }
      env {
        name  = "KV_ROLE"
        value = "kv_both"
      }
    }
  }
}
