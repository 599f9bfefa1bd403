resource "aws_launch_template" "x" {
  user_data = <<-EOT
    %{ if var.role == "prefill" ~}
    vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
    %{ else ~}
    vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
    %{ endif ~}
  EOT
}
