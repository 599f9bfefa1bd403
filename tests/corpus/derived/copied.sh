cat > prefill.env <<'EOF'
KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
cp prefill.env decode.env
