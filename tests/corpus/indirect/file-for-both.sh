cat > prefill.yaml <<EOF
kv-transfer-config: '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
vllm serve --config prefill.yaml > prefill.log &
vllm serve --config prefill.yaml > decode.log &
