tee prefill.env > /dev/null <<EOF
KV_CONFIG='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
docker run --name decode-0 --env-file prefill.env vllm/vllm-openai --kv-transfer-config "$KV_CONFIG"
