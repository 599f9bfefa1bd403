job "vllm" {
  group "prefill" {
    task "vllm" {
      driver = "docker"
      config {
        args = ["serve", "m", "--kv-transfer-config", jsonencode({ kv_connector = "NixlConnector", kv_role = "kv_both" })]
      }
    }
  }
  group "decode" {
    task "vllm" {
      env {
        KV_CONNECTOR = "NixlConnector"
        KV_ROLE      = "kv_both"
      }
    }
  }
}
