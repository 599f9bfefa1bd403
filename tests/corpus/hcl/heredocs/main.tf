resource "aws_instance" "prefill" {
  user_data = <<-EOT
    #!/bin/bash
    docker run vllm/vllm-openai --model ${var.model} \
      --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
  EOT
}

resource "helm_release" "llm" {
  values = [<<EOF
decode:
  kvTransferConfig:
    kv_connector: NixlConnector
    kv_role: kv_both
EOF
  ]
}

locals {
  script = <<-EOT
    # Decode worker
    vllm serve ${var.model} --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
  EOT
}
