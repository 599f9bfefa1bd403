cat > prefill.sh <<'EOF'
vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
cp prefill.sh run2.sh
ssh decode-host bash -s < prefill.sh
