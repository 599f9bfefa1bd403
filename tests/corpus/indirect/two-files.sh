cat > prefill.yaml <<EOF
kv-transfer-config: '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
cat > decode.yaml <<EOF
kv-transfer-config: '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
vllm serve --config prefill.yaml > prefill.log &
vllm serve --config decode.yaml > decode.log &
