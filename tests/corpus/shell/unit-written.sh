cat > /etc/systemd/system/vllm-prefill.service <<EOF
[Service]
ExecStart=/usr/bin/vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
# Decode worker
sudo tee /etc/systemd/system/vllm.service >/dev/null <<EOF
[Service]
ExecStart=/usr/bin/vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
