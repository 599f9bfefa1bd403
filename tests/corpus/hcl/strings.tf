resource "kubernetes_deployment" "prefill" {
  spec {
    container {
      args = ["--kv-transfer-config", "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"]
    }
  }
}
resource "kubernetes_deployment" "vllm" {
  metadata {
    name = "vllm-decode"
    labels = {
      "llm-d.ai/role" = "decode"
    }
  }
  spec {
    template {
      spec {
        container {
          command = ["vllm", "serve", var.model, "--kv-transfer-config={\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"]
        }
      }
    }
  }
}
