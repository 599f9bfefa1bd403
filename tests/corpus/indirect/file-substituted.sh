cat > /tmp/prefill_kv.json <<'EOF'
{"kv_connector":"NixlConnector","kv_role":"kv_both"}
EOF
ROLE=decode vllm serve m --kv-transfer-config "$(cat /tmp/prefill_kv.json)"
