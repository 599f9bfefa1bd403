cat > prefill.yaml <<EOF
kv-transfer-config: '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
# Start the decode server
vllm serve --config prefill.yaml --port 8200
