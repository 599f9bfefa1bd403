cat <<EOF > run-prefill.sh
vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
scp run-prefill.sh decode-node:
ssh decode-node bash run-prefill.sh
